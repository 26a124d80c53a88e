"""Parts of a source's rows, each of which can be read by itself, in any process."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from ple_jax.data.source import Chunks, Source

T = TypeVar("T")


class Shard(NamedTuple):
    """Rows that lie one after another in a source."""

    readers: tuple[Callable[[], Chunks], ...]  # each reads some of them, in order
    first: int = 0  # number of the first row within the source, from 0

    def chunks(self) -> Chunks:
        """Reads all of them, from the start at each call."""
        for read in self.readers:
            yield from read()


class Over(Protocol):
    """Calls a function with each shard of a source; the results, in order."""

    def __call__(self, function: Callable[[Shard], T]) -> Iterable[T]:
        """Calls it."""


def whole_of(source: Source) -> Shard:
    """All rows of a source as one shard."""
    return Shard((source.chunks,))


def over_whole(source: Source) -> Over:
    """Calls functions here, with all rows of a source as one shard."""
    return lambda function: [function(whole_of(source))]


def cut(
    readers: Sequence[Callable[[], Chunks]], rows: Sequence[int], most: int
) -> list[Shard]:
    """At most so many shards of about as many rows each.

    Args:
        readers: Each reads some rows; together all, in order.
        rows: How many rows each of them reads.
        most: The number of shards.
    """
    starts = [0, *itertools.accumulate(rows)]
    total = max(starts[-1], 1)
    # A reader belongs to the shard that its middle row falls into.
    number = lambda i: (starts[i] + starts[i + 1]) * most // (2 * total)
    groups = itertools.groupby(range(len(readers)), number)
    runs = [list(group) for _, group in groups]
    return [Shard(tuple(readers[i] for i in run), starts[run[0]]) for run in runs]
