"""Apache Spark, on this machine or, by `spark-submit`, on a cluster."""

import importlib
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from ple_jax.engines import library

A = TypeVar("A")
B = TypeVar("B")

JARS = ("delta", "iceberg")  # formats that Spark reads by a jar of others
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
    with session(workers) as spark:
        context = spark.sparkContext
        yield Spark(max(workers, context.defaultParallelism), context)


@contextmanager
def session(workers: int = 1) -> Iterator[Any]:
    """The session of Spark that runs, and goes on; else one that ends with the block.

    Raises:
        ValueError: pyspark is not installed, or there is no Java runtime.
    """
    sql = library("pyspark.sql", "spark")
    if running := sql.SparkSession.getActiveSession():
        yield running
        return
    check_java()
    builder = sql.SparkSession.builder.appName("ple-jax prepare")
    if SUBMITTED not in os.environ:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        builder = builder.master(f"local[{workers}]").config(map=HERE)
    started = builder.getOrCreate()
    started.sparkContext.setLogLevel("ERROR")
    try:
        yield started
    finally:
        started.stop()


def write_rows(
    table: str,
    form: str,
    columns: Callable[[list[str]], list[str]],
    folder: pathlib.Path,
) -> None:
    """Has Spark write a table to an empty folder, as Parquet files.

    Args:
        table: Its name in Spark's catalog, or its path.
        form: "table" for the catalog, or the format of the path.
        columns: Which to write, of all that there are.
        folder: Where the files go.

    Raises:
        ValueError: Spark cannot read the table.
    """
    with session() as spark:
        errors = importlib.import_module("pyspark.errors").PySparkException
        thrown = importlib.import_module("py4j.protocol").Py4JJavaError
        try:
            load = spark.table if form == "table" else spark.read.format(form).load
            rows = load(table)
            kept = [f"`{name}`" for name in columns(rows.columns)]
            where = folder.absolute().as_uri()
            rows.select(*kept).write.mode("append").parquet(where)
        except (errors, thrown) as error:
            raise ValueError(_sentence(error, table, form)) from error


def _sentence(error: Exception, table: str, form: str) -> str:
    thrown = getattr(error, "java_exception", error)
    said = str(thrown).partition("\n")[0].strip().rstrip(".")
    hint = ""
    if form in JARS:
        hint = (
            f" Spark reads {form} by a jar, which `spark-submit --packages` or "
            "PYSPARK_SUBMIT_ARGS names."
        )
    return f"Spark cannot read {table!r} as {form}: {said}.{hint}"


def check_java() -> None:
    """Raises a ValueError where there is no Java runtime."""
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise ValueError(
            "Spark needs a Java runtime of version 17 or later, and there is no "
            "`java`: install one, or set JAVA_HOME."
        )
