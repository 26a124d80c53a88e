"""Sums of labels by value, domain and fold: sorted, cut by values, and found again."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ple_jax.data.spill import Spill, stack

MOST_FOLDS = 32
PIECE = 1 << 20  # cells that are fitted to at once; other pieces round sums otherwise
SAMPLES = 32  # of a range: its size is within a third or so of what is wanted


@dataclasses.dataclass(frozen=True)
class Cells:
    """Sums by value, domain and fold, ascending: one row for each that occurs.

    There are at most as many cells as values in train, and as values x domains x folds;
    each takes 8 (3 + M) bytes.
    """

    value: np.ndarray  # (C,) int64
    domain: np.ndarray  # (C,) int64
    fold: np.ndarray  # (C,) int64
    amounts: np.ndarray  # (C, M) int64, as in `Addends`

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, rows: slice) -> "Cells":
        return Cells(*(column[rows] for column in self.columns))

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """What `of` takes."""
        return self.value, self.domain, self.fold, self.amounts

    @classmethod
    def of(
        cls,
        value: np.ndarray,
        domain: np.ndarray,
        fold: np.ndarray,
        amounts: np.ndarray,
    ) -> "Cells":
        """Sorts and adds up rows (n,) with their amounts (n, M)."""
        domains = int(domain.max(initial=0)) + 1
        key = (value * domains + domain) * MOST_FOLDS + fold
        order = np.argsort(key)  # sums are exact in any order
        key, amounts = add_up(key[order], amounts.take(order, axis=0))
        pair, fold = np.divmod(key, MOST_FOLDS)
        return cls(*np.divmod(pair, domains), fold, amounts)

    def kept(self, spill: Spill) -> "Cells":
        """The same, on disk if they are large."""
        return Cells(*stack([self.columns], spill))

    def pooled(self, kept: int) -> "Cells":
        """All values as one, the value `kept`."""
        return Cells.of(np.full_like(self.value, kept), *self.columns[1:])


def merged(parts: Sequence[Cells]) -> Cells:
    """The cells of all parts, added up."""
    return Cells.of(*_end_to_end(parts))


def _end_to_end(parts: Sequence[Cells]) -> list[np.ndarray]:
    columns = zip(*(part.columns for part in parts), strict=True)
    return [np.concatenate(column) for column in columns]


def in_ranges(parts: Sequence[Cells], most: int) -> Iterator[Cells]:
    """The cells of all parts by ranges of values, each of about so many bytes.

    The parts have no value in common.
    """
    row = sum(column[:1].nbytes for column in parts[0].columns)
    step = max(1, most // max(row, 1) // SAMPLES)
    sample = np.sort(np.concatenate([part.value[::step] for part in parts]))
    cuts = np.unique(sample[SAMPLES::SAMPLES])
    ends = [[*np.searchsorted(p.value, cuts), len(p)] for p in parts]
    starts = [0] * len(parts)
    for stops in zip(*ends, strict=True):
        places = zip(parts, starts, stops, strict=True)
        yield merged([part[a:b] for part, a, b in places])
        starts = list(stops)


def pooled(parts: Iterable[Cells], kept: int, size: int) -> Iterator[Cells]:
    """The cells of `size` values; all from `kept` on are the value `kept`."""
    rest: list[Cells] = []
    for part in parts:
        end = int(np.searchsorted(part.value, kept))
        yield part[:end]
        if kept < size:
            rest = [merged([*rest, part[end:].pooled(kept)])]
    yield from rest


def by_values(parts: Iterable[Cells]) -> Iterator[Cells]:
    """The same cells in pieces of whole values, which do not depend on the parts.

    A piece has at most `PIECE` cells, or one value. No value is in two parts.
    """
    left: Cells | None = None
    for part in parts:
        left = Cells(*_end_to_end([left, part])) if left and len(left) else part
        while len(left) > PIECE:
            end = end_of_piece(left.value)
            yield left[:end]
            left = left[end:]
    if left is not None:
        yield left


def end_of_piece(value: np.ndarray) -> int:
    """Where the first piece ends of more than `PIECE` ascending values (C,)."""
    before = int(np.searchsorted(value, value[PIECE]))
    return before or int(np.searchsorted(value, value[0], side="right"))


def add_up(keys: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys of ascending ones (C,), and the sums (C, M) over each."""
    starts = _starts(keys)
    return keys[starts], np.add.reduceat(amounts, starts) if len(keys) else amounts


def sums_of_others(
    group: np.ndarray, amounts: np.ndarray, ordered: bool
) -> np.ndarray:  # (C, M)
    """For each row (C, M), the sums of the others of its group (C,), ascending.

    If `ordered`, only the rows of the group that come before it.
    """
    starts = _starts(group)
    sizes = np.diff(np.r_[starts, len(group)])
    if ordered:
        before = np.cumsum(amounts, axis=0) - amounts
        return before - np.repeat(before[starts], sizes, axis=0)
    return np.repeat(add_up(group, amounts)[1], sizes, axis=0) - amounts


def _starts(keys: np.ndarray) -> np.ndarray:
    """Where each distinct one of ascending keys (C,) starts."""
    return np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]][: len(keys)])


class Index:
    """Finds the places of keys among ascending ones from 0 to size - 1.

    A table of all keys is several times as fast as a search, and is kept where it is at
    most 16 times as long as the keys that there are, and memory should hold it.
    """

    def __init__(self, keys: np.ndarray, size: int, spill: Spill | None = None):
        self.keys, self.table = keys, None
        fits = spill is None or 4 * size <= spill.piece
        if fits and size <= 16 * len(keys) + (1 << 20):
            self.table = np.full(size + 1, -1, np.int32)  # the last is for key -1
            self.table[keys] = np.arange(len(keys))

    def find(self, wanted: np.ndarray) -> np.ndarray:  # (n,) int
        """The place of each key (n,); -1 for one that is negative or not there."""
        if self.table is not None:
            return self.table[np.maximum(wanted, -1)]
        if not len(self.keys):
            return np.full(len(wanted), -1)
        distinct, of = np.unique(wanted, return_inverse=True)  # near ones are near
        at = np.minimum(np.searchsorted(self.keys, distinct), len(self.keys) - 1)
        return np.where(self.keys[at] == distinct, at, -1)[of]
