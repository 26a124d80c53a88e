"""Batches: batch k of epoch e is a pure function of (seed, e, k)."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from ple_jax.data.examples import Examples
from ple_jax.data.sampling import make_order
from ple_jax.layout import Layout
from ple_jax.types import Batch

PART = 2**14  # rows worth a thread of their own


class Loader:
    """Shuffled batches of a split.

    With natural sampling, an epoch visits each example at most once: it drops the last
    n mod batch_size examples of its order, and the next epoch has another order.

    Args:
        examples: The split.
        batch_size: Examples in a batch, over all processes.
        seed: Seed of every epoch's order.
        process: (number, count): this process reads its part of every batch.
        sampling: How domains take part in batches, as `train.sampling`.
        temperature: Of balanced sampling, as `train.temperature`.

    Raises:
        ValueError: The batch is larger than the split, or does not divide evenly among
            the processes.
    """

    axes = 1  # axes before that of examples: steps
    in_memory = True  # else there are no `examples`: they are read as they are needed
    examples: Examples

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        seed: int,
        process: tuple[int, int] = (0, 1),
        sampling: str = "natural",
        temperature: float = 2.0,
    ):
        self.examples, self.batch_size = examples, batch_size
        self._share = share_of(batch_size, len(examples), process)
        self._first = process[0] * self._share
        domain = np.asarray(examples.domain)
        self._order = make_order(sampling, domain, batch_size, seed, temperature)

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches an epoch has."""
        return len(self.examples) // self.batch_size

    @property
    def batch_bytes(self) -> int:
        """Bytes of the rows of one batch."""
        size = sum(array.nbytes for array in self.examples.arrays().values())
        return self._share * size // len(self.examples)

    def batches(self, epoch: int, first: int, count: int) -> Batch:
        """Batches `first` to `first + count - 1`, with leading axes (count, B)."""
        return gather_batch(self.examples, self.rows(epoch, first, count))

    def rows(self, epoch: int, first: int, count: int) -> np.ndarray:  # (count, B)
        """The split's rows that these batches hold."""
        start = (first + np.arange(count))[:, None] * self.batch_size + self._first
        place = start + np.arange(self._share)[None]
        return self._order(place.ravel(), epoch).reshape(place.shape)


def share_of(batch_size: int, rows: int, process: tuple[int, int]) -> int:
    """How many examples of a batch each process reads; see `Loader` for its errors."""
    if batch_size > rows:
        raise ValueError(
            f"train.batch_size must be at most the {rows} examples of train, got "
            f"{batch_size}."
        )
    _, processes = process
    if batch_size % processes:
        raise ValueError(
            f"train.batch_size must be a multiple of the {processes} processes, got "
            f"{batch_size}."
        )
    return batch_size // processes


class Loaders:
    """Several loaders of one split, whose batches lie side by side."""

    axes = 2  # axes before that of examples: steps, loaders

    def __init__(self, each: Sequence[Loader]):
        self.each, self.in_memory = tuple(each), each[0].in_memory
        if self.in_memory:
            self.examples = each[0].examples
        self.steps_per_epoch = each[0].steps_per_epoch
        self.batch_bytes = sum(one.batch_bytes for one in each)

    def batches(self, epoch: int, first: int, count: int) -> Batch:
        """Like `Loader.batches`, with leading axes (count, loaders, B)."""
        if not self.in_memory:
            each = [one.batches(epoch, first, count) for one in self.each]
            return jax.tree.map(lambda *of_each: np.stack(of_each, axis=1), *each)
        return gather_batch(self.examples, self.rows(epoch, first, count))

    def rows(
        self, epoch: int, first: int, count: int
    ) -> np.ndarray:  # (count, loaders, B)
        """Like `Loader.rows`."""
        return np.stack([one.rows(epoch, first, count) for one in self.each], axis=1)


def gather_batch(examples: Examples, rows: np.ndarray) -> Batch:
    """Copies rows (...) of a split into a batch with leading axes (...)."""
    parts = max(1, min(os.cpu_count() or 1, rows.size // PART))
    flat = np.array_split(rows.ravel(), parts)
    each = _threads().map if parts > 1 else map

    def gather(array):  # (n, ...) -> (*rows.shape, ...)
        copied = np.empty((rows.size, *array.shape[1:]), array.dtype)
        # "clip" spares NumPy a buffered copy; every row is in range.
        copy = functools.partial(np.take, array, axis=0, mode="clip")
        into = np.array_split(copied, parts)
        list(each(lambda i: copy(flat[i], out=into[i]), range(parts)))
        return copied.reshape(*rows.shape, *array.shape[1:])

    return as_batch(examples, gather)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Threads that copy rows: NumPy releases the interpreter meanwhile."""
    return ThreadPoolExecutor(os.cpu_count())


def as_batch(examples: Examples, take: Callable[[np.ndarray], np.ndarray]) -> Batch:
    """Builds a batch from what `take` makes of each array (n, ...) of the examples.

    `take` decides the leading axes: it may select rows (B, ...), or give all n.
    """
    return Batch(
        ids=take(examples.ids),
        bags={name: take(bag) for name, bag in examples.bags.items()},
        numbers=take(examples.numbers),
        domain=take(examples.domain),
        labels=take(examples.labels),
        observed=take(examples.observed),
        weights=take(examples.weights),
    )


def shapes_of(layout: Layout, *lead: int) -> Batch:
    """The shapes of a batch of this layout, with these leading axes."""

    def leaf(dtype: type, *shape: int) -> Any:
        return jax.ShapeDtypeStruct((*lead, *shape), dtype)

    tasks = len(layout.tasks)
    return Batch(
        ids=leaf(np.int32, len(layout.ids)),
        bags={bag.name: leaf(np.int32, bag.length) for bag in layout.bags},
        numbers=leaf(np.float32, len(layout.numbers)),
        domain=leaf(np.int32),
        labels=leaf(np.float32, tasks),
        observed=leaf(np.bool_, tasks),
        weights=leaf(np.float32),
    )


def batches_in_order(
    examples: Examples, batch_size: int, process: tuple[int, int] = (0, 1)
) -> Iterator[tuple[Batch, int]]:
    """Every example once, in order: batches (B, ...), and how many rows are real.

    The last batch is padded with copies of its rows that count as not observed. Of each
    batch a process reads its part; `process` is as of `Loader`.
    """
    number, processes = process
    own = np.array_split(np.arange(batch_size), processes)[number]
    for first in range(0, len(examples), batch_size):
        real = min(batch_size, len(examples) - first)
        batch = gather_batch(examples, first + own % real)
        batch.observed[own >= real] = False
        yield batch, real
