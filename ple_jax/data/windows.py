"""An order of rows that needs a part of them at a time: blocks, mixed within windows.

    1. The blocks of an epoch come in a random order.
    2. Processes divide the rows of that sequence evenly, each takes a run of it.
    3. `window` blocks of a run after another make a window, whose rows are permuted.

The row at each place is a pure function of (seed, epoch, place, process), so that a run
resumes anywhere; whoever reads windows in order reads each block once.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ple_jax.data.blocks import Piece
from ple_jax.data.sampling import permute


class Course(NamedTuple):
    """The windows of an epoch, of one process.

    Attributes:
        key: Of its permutations.
        first: The split's row that each piece of a block begins with (S,).
        ends: How many places of the process the pieces take up to each one's end (S,).
        edges: Where windows begin, and the last one ends (W + 1,).
    """

    key: tuple[int, ...]
    first: np.ndarray
    ends: np.ndarray
    edges: np.ndarray

    def __len__(self) -> int:
        return len(self.edges) - 1

    def windows(self, place: np.ndarray) -> np.ndarray:  # (n,)
        """The number of the window of each place (n,)."""
        return np.searchsorted(self.edges, place, side="right") - 1

    def inside(self, place: np.ndarray, number: int) -> np.ndarray:  # (n,)
        """Which row of a window stands at each place (n,) of it."""
        start, end = self.edges[number : number + 2].tolist()
        seed, epoch, process = self.key
        # 1 + number: a seed that ends in zeros is the same without them.
        return permute(place - start, end - start, (seed, epoch, 1 + number, process))

    def rows(self, place: np.ndarray) -> np.ndarray:  # (n,)
        """The split's row at each place (n,)."""
        mixed, numbers = np.empty(len(place), np.int64), self.windows(place)
        for number in np.unique(numbers).tolist():
            own = numbers == number
            mixed[own] = self.edges[number] + self.inside(place[own], number)
        piece = np.searchsorted(self.ends, mixed, side="right")
        return self.first[piece] + mixed - self._begins[piece]

    @property
    def _begins(self) -> np.ndarray:
        return np.append(0, self.ends[:-1])

    def pieces(self, number: int, of_block: int) -> list[Piece]:
        """What a window is read from."""
        start, end = self.edges[number : number + 2]
        own = slice(*np.searchsorted(self.ends, (start, end), side="right"))
        counts = (self.ends - self._begins)[own]
        pairs = zip(self.first[own].tolist(), counts.tolist(), strict=True)
        return [Piece(row // of_block, row % of_block, count) for row, count in pairs]


class Windows(NamedTuple):
    """The courses of all epochs, of one process.

    Attributes:
        rows: Of the split.
        of_block: Rows of a block; the last one may have fewer.
        window: Blocks that are mixed.
        seed: Of the order.
        process: (number, count): which of how many processes.
        places: How many rows each process takes in an epoch.
    """

    rows: int
    of_block: int
    window: int
    seed: int
    process: tuple[int, int]
    places: int

    def course(self, epoch: int) -> Course:
        """That of an epoch; the last one is kept."""
        return _course(self, epoch)


@lru_cache(maxsize=16)  # trials have their own
def _course(of: Windows, epoch: int) -> Course:
    number, _ = of.process
    count = -(-of.rows // of.of_block)
    key = of.seed, epoch
    first = permute(np.arange(count), count, key) * of.of_block
    sizes = np.minimum(of.of_block, of.rows - first)
    ends = np.cumsum(sizes)
    # The run of this process begins and ends within a block.
    start, end = number * of.places, (number + 1) * of.places
    low, high = np.maximum(ends - sizes, start), np.minimum(ends, end)
    own = low < high
    first = (first + low - (ends - sizes))[own]
    ends = (high - start)[own]
    edges = np.append(0, ends[of.window - 1 :: of.window])
    edges = edges if edges[-1] == of.places else np.append(edges, of.places)
    return Course((*key, number), first, ends, edges)
