"""Dask, on this machine or on the cluster that DASK_SCHEDULER_ADDRESS names."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ple_jax.engines import library, merge_pairs

A = TypeVar("A")
B = TypeVar("B")


class Dask(NamedTuple):
    """A client of a Dask cluster."""

    workers: int
    client: Any

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterable[B]:
        """What the function returns for each item, in order."""
        return self.client.gather(self._started(function, items))

    def map_reduce(
        self,
        function: Callable[[A], B],
        merge: Callable[[B, B], B],
        items: Sequence[A],
    ) -> B:
        """The same, merged as a tree by tasks."""
        submit = partial(self.client.submit, merge, pure=False)
        return merge_pairs(submit, self._started(function, items)).result()

    def _started(self, function: Callable[[A], Any], items: Sequence[A]) -> list[Any]:
        # Dask takes some tuples for calls, so it sees none.
        hidden = list(map(_Item, items))
        return self.client.map(partial(_called, function), hidden, pure=False)


@dataclasses.dataclass(frozen=True)
class _Item:
    value: Any


def _called(function: Callable[[Any], B], item: _Item) -> B:
    return function(item.value)


@contextmanager
def build(workers: int) -> Iterator[Dask]:
    """Joins the cluster that DASK_SCHEDULER_ADDRESS names, or starts Dask here."""
    distributed = library("distributed", "dask")
    if "DASK_SCHEDULER_ADDRESS" in os.environ:
        with distributed.Client() as client:
            yield Dask(max(workers, sum(client.ncores().values())), client)
        return
    one = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with (
        distributed.LocalCluster(n_workers=workers, **one) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield Dask(workers, client)
