"""Apache Spark, on this machine or, by `spark-submit`, on a cluster."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from ple_jax.engines import library

A = TypeVar("A")
B = TypeVar("B")

SUBMITTED = "PYSPARK_GATEWAY_PORT"  # is set by `spark-submit`
# Nothing here listens to other machines; what is collected may be large.
HERE = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.driver.maxResultSize": "0",
}


class Spark(NamedTuple):
    """A Spark context."""

    workers: int
    context: Any

    def _mapped(self, function: Callable[[A], B], items: Sequence[A]) -> Any:
        return self.context.parallelize(items, len(items)).map(function)

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterable[B]:
        """What the function returns for each item, in order."""
        return self._mapped(function, items).collect()

    def map_reduce(
        self,
        function: Callable[[A], B],
        merge: Callable[[B, B], B],
        items: Sequence[A],
    ) -> B:
        """The same, merged as a tree by executors."""
        return self._mapped(function, items).treeReduce(merge)


@contextmanager
def build(workers: int) -> Iterator[Spark]:
    """Takes the cluster that `spark-submit` names, or starts Spark on this machine."""
    sql = library("pyspark.sql", "spark")
    builder = sql.SparkSession.builder.appName("ple-jax prepare")
    if SUBMITTED not in os.environ:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        builder = builder.master(f"local[{workers}]").config(map=HERE)
    session = builder.getOrCreate()
    context = session.sparkContext
    context.setLogLevel("ERROR")
    try:
        yield Spark(max(workers, context.defaultParallelism), context)
    finally:
        session.stop()
