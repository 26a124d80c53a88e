"""Engines that call one function with many items, in several processes.

An engine is a file, named by it, that defines

    build(workers)    a context manager, which yields an `Engine` and ends it

Functions and items are sent as pickles, and functions by name: where they are called,
this package must be installed, and files lie under the same paths. Each engine is a
library of others, which alone says what runs where and when.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeVar

from ple_jax import plugins

available = partial(plugins.available, __name__)
find = partial(plugins.find, __name__)

A = TypeVar("A")
B = TypeVar("B")


class Engine(Protocol):
    """Calls functions in processes of its own."""

    workers: int  # how many calls are made at once

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterable[B]:
        """What the function returns for each item, in order."""

    def map_reduce(
        self,
        function: Callable[[A], B],
        merge: Callable[[B, B], B],
        items: Sequence[A],
    ) -> B:
        """What the function returns for all items, merged in pairs in any order."""


@contextmanager
def started(kind: str, workers: int) -> Iterator[Engine | None]:
    """Yields an engine, which ends with the block; None for one local worker.

    Raises:
        ValueError: There is no such engine, its library is not installed, or there is
            no worker.
    """
    if workers < 1:
        raise ValueError(f"--workers must be at least 1, got {workers}.")
    if (kind, workers) == ("local", 1):
        yield None
        return
    with find(kind).build(workers) as engine:
        yield engine


def library(name: str, extra: str) -> ModuleType:
    """The library of an engine.

    Raises:
        ValueError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"--engine {extra} needs {name}: pip install 'ple-jax[{extra}]'."
        ) from error


def merge_pairs(merge: Callable[[A, A], A], found: list[A]) -> A:
    """Merges neighbours until one is left: log2(n) times, of n."""
    while len(found) > 1:
        pairs = zip(found[::2], found[1::2], strict=False)
        rest = found[len(found) // 2 * 2 :]
        found = [*(merge(a, b) for a, b in pairs), *rest]
    return found[0]


class Outcome(NamedTuple):
    """What a function returned, or the fault of the user that it raised.

    Faults come back as values, since each engine wraps what is raised in its own way.
    """

    value: Any
    fault: Exception | None = None

    def get(self) -> Any:
        """The value; raises the fault if there is one."""
        if self.fault:
            raise self.fault
        return self.value


def call_each(
    engine: Engine, function: Callable[[A], B], items: Sequence[A]
) -> list[B]:
    """What a function returns for each item, in order; raises what it raises."""
    found = engine.map(partial(_attempt, function), items)
    return [outcome.get() for outcome in found]


def merge_each(
    engine: Engine,
    function: Callable[[A], B],
    merge: Callable[[B, B], B],
    items: Sequence[A],
) -> B:
    """What a function returns for all items, merged; raises what it raises."""
    called = partial(_attempt, function)
    return engine.map_reduce(called, partial(_merged, merge), items).get()


def _attempt(function: Callable[[A], B], item: A) -> Outcome:
    try:
        return Outcome(function(item))
    except (ValueError, OSError) as error:
        return Outcome(None, error)


def _merged(merge: Callable[[B, B], B], one: Outcome, other: Outcome) -> Outcome:
    if one.fault or other.fault:
        return one if one.fault else other
    return Outcome(merge(one.value, other.value))
