"""Batches: batch k of epoch e is a pure function of (seed, e, k)."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ple_jax.data.examples import Examples
from ple_jax.data.sampling import order_of
from ple_jax.types import Batch

PART = 2**14  # rows that are worth a thread


class Loader:
    """Shuffled batches of a split; an epoch visits each example at most once.

    The last n mod batch_size examples of an epoch's order are left out of it; the next
    epoch has another order. With several processes each reads its part of every batch.
    `sampling` and `temperature` are those of `config.Train`: domains may also take
    part otherwise than by size.
    """

    axes = 1  # before that of examples: of steps

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        seed: int,
        process: tuple[int, int] = (0, 1),
        sampling: str = "natural",
        temperature: float = 2.0,
    ):
        if batch_size > len(examples):
            raise ValueError(
                f"train.batch_size must be at most the {len(examples)} examples of "
                f"train, got {batch_size}."
            )
        number, processes = process
        if batch_size % processes:
            raise ValueError(
                f"train.batch_size must be a multiple of the {processes} processes, "
                f"got {batch_size}."
            )
        self.examples, self.batch_size = examples, batch_size
        domain = np.asarray(examples.domain)
        self._order = order_of(sampling, domain, batch_size, seed, temperature)
        self._share = batch_size // processes
        self._first = number * self._share

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return len(self.examples) // self.batch_size

    def batches(self, epoch: int, first: int, count: int) -> Batch:
        """`count` batches from number `first` on, with leading axes (count, B)."""
        return taken(self.examples, self.rows(epoch, first, count))

    def rows(self, epoch: int, first: int, count: int) -> np.ndarray:  # (count, B)
        """The rows of the split that these batches hold."""
        start = (first + np.arange(count))[:, None] * self.batch_size + self._first
        place = start + np.arange(self._share)[None]
        return self._order(place.ravel(), epoch).reshape(place.shape)


class Loaders:
    """The batches of several loaders of one split, side by side."""

    axes = 2  # before that of examples: of steps, and of loaders

    def __init__(self, each: Sequence[Loader]):
        self.each, self.examples = tuple(each), each[0].examples
        self.steps_per_epoch = each[0].steps_per_epoch

    def batches(self, epoch: int, first: int, count: int) -> Batch:
        """As of a loader, with leading axes (count, loaders, B)."""
        return taken(self.examples, self.rows(epoch, first, count))

    def rows(self, epoch: int, first: int, count: int) -> np.ndarray:
        """As of a loader: (count, loaders, B)."""
        return np.stack([one.rows(epoch, first, count) for one in self.each], axis=1)


def taken(examples: Examples, rows: np.ndarray) -> Batch:
    """These rows as a batch, whose leading axes are those of `rows`."""
    parts = max(1, min(os.cpu_count() or 1, rows.size // PART))
    flat = np.array_split(rows.ravel(), parts)
    each = _threads().map if parts > 1 else map

    def take(array):
        found = np.empty((rows.size, *array.shape[1:]), array.dtype)
        # "clip" spares NumPy a buffered copy; every row is in range.
        copy = functools.partial(np.take, array, axis=0, mode="clip")
        into = np.array_split(found, parts)
        list(each(lambda i: copy(flat[i], out=into[i]), range(parts)))
        return found.reshape(*rows.shape, *array.shape[1:])

    return as_batch(examples, take)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """NumPy lets other threads run while it copies rows."""
    return ThreadPoolExecutor(os.cpu_count())


def as_batch(examples: Examples, take: Callable[[np.ndarray], np.ndarray]) -> Batch:
    """A batch of what `take` makes of each array."""
    return Batch(
        ids=take(examples.ids),
        bags={name: take(bag) for name, bag in examples.bags.items()},
        numbers=take(examples.numbers),
        domain=take(examples.domain),
        labels=take(examples.labels),
        observed=take(examples.observed),
        weights=take(examples.weights),
    )


def in_order(examples: Examples, batch_size: int) -> Iterator[tuple[Batch, int]]:
    """Every example once, in order: batches of one shape, and how many rows are real.

    The last batch is filled up with copies of its rows that are not observed.
    """
    for first in range(0, len(examples), batch_size):
        real = min(batch_size, len(examples) - first)
        rows = first + np.resize(np.arange(real), batch_size)
        batch = taken(examples, rows)
        batch.observed[real:] = False
        yield batch, real
