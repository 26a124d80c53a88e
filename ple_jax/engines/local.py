"""Processes of this machine, by `concurrent.futures`."""

import functools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Pool(NamedTuple):
    """A pool of processes that Python starts anew, as nothing of this one."""

    workers: int
    pool: ProcessPoolExecutor

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterable[B]:
        """What the function returns for each item, in order, as they come."""
        return self.pool.map(function, items)

    def map_reduce(
        self,
        function: Callable[[A], B],
        merge: Callable[[B, B], B],
        items: Sequence[A],
    ) -> B:
        """The same, merged here as they come."""
        return functools.reduce(merge, self.map(function, items))


@contextmanager
def build(workers: int) -> Iterator[Pool]:
    """Starts as many processes as workers.

    Raises:
        ValueError: One of them was killed.
    """
    spawn = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
    pool = ProcessPoolExecutor(workers, mp_context=spawn)
    try:
        yield Pool(workers, pool)
    except BrokenProcessPool as error:
        raise ValueError(
            "A worker was killed before its end, perhaps as memory was short: try "
            "again with fewer --workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
