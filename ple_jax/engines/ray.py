"""Ray, on this machine or on the cluster that RAY_ADDRESS names."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from ple_jax.engines import library, merge_pairs

A = TypeVar("A")
B = TypeVar("B")

HERE = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}


class Ray(NamedTuple):
    """The cluster that Ray is connected to."""

    workers: int
    ray: Any  # the module

    def _started(self, function: Callable[[A], B], items: Sequence[A]) -> list[Any]:
        task = self.ray.remote(lambda item: function(item))
        return [task.remote(item) for item in items]

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterable[B]:
        """What the function returns for each item, in order."""
        return self.ray.get(self._started(function, items))

    def map_reduce(
        self,
        function: Callable[[A], B],
        merge: Callable[[B, B], B],
        items: Sequence[A],
    ) -> B:
        """The same, merged as a tree by tasks."""
        task = self.ray.remote(lambda a, b: merge(a, b))
        return self.ray.get(merge_pairs(task.remote, self._started(function, items)))


@contextmanager
def build(workers: int) -> Iterator[Ray]:
    """Joins the cluster that RAY_ADDRESS names, or starts Ray on this machine."""
    ray = library("ray", "ray")
    here = {} if "RAY_ADDRESS" in os.environ else {**HERE, "num_cpus": workers}
    ray.init(log_to_driver=False, **here)
    try:
        cores = int(ray.cluster_resources().get("CPU", workers))
        yield Ray(max(workers, cores), ray)
    finally:
        ray.shutdown()
