"""Batches in an order of blocks: from memory, or read from disk as they are needed."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import jax
import numpy as np

from ple_jax.data.blocks import Blocks
from ple_jax.data.examples import Examples
from ple_jax.data.loader import Loader, gather_batch, share_of
from ple_jax.data.windows import Windows
from ple_jax.types import Batch

Key = tuple[int, int]  # epoch, window


class BlockLoader(Loader):
    """Batches of blocks that are mixed within windows: see `data.windows`.

    An epoch visits each example at most once. A process reads batches from blocks of
    its own, so that each batch mixes as many windows as there are processes.

    Args:
        blocks: The split on disk.
        batch_size: Examples in a batch, over all processes.
        seed: Seed of every epoch's order.
        process: (number, count): which of all processes this is.
        window: Blocks that are mixed.
        examples: The split in memory.

    Raises:
        ValueError: As `Loader`.
    """

    def __init__(
        self,
        blocks: Blocks,
        batch_size: int,
        seed: int,
        process: tuple[int, int],
        window: int,
        examples: Examples | None = None,
    ):
        self.blocks, self.batch_size = blocks, batch_size
        if examples is not None:
            self.examples = examples
        self._share = share_of(batch_size, blocks.rows, process)
        places = self.steps_per_epoch * self._share
        self.windows = Windows(
            blocks.rows, blocks.of_block, window, seed, process, places
        )

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches an epoch has."""
        return self.blocks.rows // self.batch_size

    @property
    def batch_bytes(self) -> int:
        """Bytes of the rows of one batch."""
        return self._share * self.blocks.row_bytes

    def rows(self, epoch: int, first: int, count: int) -> np.ndarray:  # (count, B)
        """The split's rows that these batches hold."""
        place = self._places(first, count)
        return self.windows.course(epoch).rows(place).reshape(count, -1)

    def _places(self, first: int, count: int) -> np.ndarray:  # (count * B,)
        """Those of the batches, within what this process reads in an epoch."""
        return np.arange(first * self._share, (first + count) * self._share)


class StreamLoader(BlockLoader):
    """The same batches, read from disk a window at a time.

    A thread reads the next window while one is in use: memory holds two of them.
    """

    in_memory = False

    @cached_property
    def _read(self) -> dict[Key, Future[Examples]]:
        """What is read, or about to be."""
        return {}

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1)

    def batches(self, epoch: int, first: int, count: int) -> Batch:
        """Batches `first` to `first + count - 1`, with leading axes (count, B).

        Raises:
            ValueError: A block is not as it was written; names it.
        """
        course, place = self.windows.course(epoch), self._places(first, count)
        parts, numbers = [], course.windows(place)
        for number in np.unique(numbers).tolist():
            rows = course.inside(place[numbers == number], number)
            parts.append(gather_batch(self._window(epoch, number), rows))
        whole = lambda *of_parts: np.concatenate(of_parts).reshape(
            count, self._share, *of_parts[0].shape[1:]
        )
        return jax.tree.map(whole, *parts)

    def _window(self, epoch: int, number: int) -> Examples:
        """The rows of a window; begins to read the one after it."""
        own = epoch, number
        last = number + 1 == len(self.windows.course(epoch))
        following = (epoch + 1, 0) if last else (epoch, number + 1)
        for other in self._read.keys() - {own, following}:
            self._read.pop(other).cancel()
        window = self._begin(own).result()
        self._begin(following)
        return window

    def _begin(self, window: Key) -> Future[Examples]:
        if window not in self._read:
            self._read[window] = self._thread.submit(self._load, *window)
        return self._read[window]

    def _load(self, epoch: int, number: int) -> Examples:
        course = self.windows.course(epoch)
        return self.blocks.read(course.pieces(number, self.blocks.of_block))
