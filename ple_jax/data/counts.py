"""Counts of the train split. They merge: the counts of chunks add up to the whole.

They add up exactly, so that what is fitted to them is the same however rows are cut
into files, chunks, or parts that are counted elsewhere.
"""

import dataclasses
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.external_sort import ORDER, sort_counts
from ple_jax.data.spill import (
    COLUMNS,
    MOST_BYTES,
    PARTS,
    PIECE,
    Spill,
    by_hash,
    distinct,
    in_parts,
)

MOST_DISTINCT = 100_000  # numbers that are told apart
MOST_TEXT = 2**31 - 1  # bytes of all values that one array of `string` holds
ALL_BUT_SIGN = np.int64(2**63 - 1)
LOWEST = ~np.float64(np.finfo(np.float64).max).view(np.int64)  # key of a number


class ValueCounts:
    """How often each string occurs. Missing values are not counted.

    What memory should not hold is spilled to disk, if there is a place for it.
    """

    def __init__(self, spill: Spill | None = None) -> None:
        self._spill = spill
        self._runs: list[pathlib.Path] = []  # what has been spilled
        self._parts: list[pa.Table] = []
        self._bytes, self._limit = 0, spill.most if spill else MOST_BYTES // 4
        self._settled = False  # whether each value is in one row of the parts

    def add(self, codes: np.ndarray, values: pa.Array) -> None:
        """Counts codes (B,) into an array of strings, as `Rows.text` gives them."""
        counts = np.bincount(codes, minlength=len(values))
        part = pa.table({"value": values, "count": pa.array(counts, pa.int64())})
        keep = pc.and_(pc.is_valid(part["value"]), pc.greater(part["count"], 0))
        # All values of a field may be longer than the offsets of `string` reach.
        self._append([part.filter(keep).cast(COLUMNS)])

    def merge(self, other: "ValueCounts") -> "ValueCounts":
        """Adds up the counts of both."""
        both = ValueCounts(self._spill or other._spill)
        both._limit = max(self._limit, other._limit)
        both._runs = self._runs + other._runs
        both._append([*self._parts, *other._parts])
        return both

    def settle(self) -> None:
        """Adds up what waits, before it is sent or kept; much of it goes to disk."""
        self._settle()
        if self._spill and self._bytes > self._spill.piece:
            self._write(self._spill)

    def _settle(self) -> None:
        if not self._settled:
            self._parts, self._settled = self._add_up(), True
            self._bytes = sum(part.nbytes for part in self._parts)

    def _append(self, parts: list[pa.Table]) -> None:
        self._parts += parts
        self._settled = False
        self._bytes += sum(part.nbytes for part in parts)
        if self._bytes > self._limit:
            self._settle()
            if self._spill and self._bytes > self._spill.most // 2:
                self._write(self._spill)
            self._limit = max(self._limit, 2 * self._bytes)  # else each chunk does this

    def _add_up(self) -> list[pa.Table]:
        """value, count: each value once.

        By parts of the values, so that a hash table is never as large as all of them.
        """
        whole = pa.concat_tables([COLUMNS.empty_table(), *self._parts])
        if len(whole) <= PIECE:
            return [distinct(whole)]
        return list(map(distinct, by_hash(whole)))

    def _write(self, spill: Spill) -> None:
        self._settle()
        if self._bytes:
            whole = len(self._parts) == PARTS
            self._runs.append(
                spill.write(self._parts if whole else by_hash(*self._parts))
            )
        self._parts, self._bytes, self._settled = [], 0, False

    def vocabulary(self, min_count: int = 1) -> pa.Table:
        """value, count, id: most frequent first, ties by value; ids start at 1.

        Values are `string`, or `large_string` if they have more than 2 GiB. Of counts
        that were spilled, the vocabulary is on disk too.
        """
        often = lambda t: t.filter(pc.greater_equal(t["count"], min_count))
        if self._runs and self._spill:
            self._write(self._spill)
            parts = in_parts(self._runs, self._spill.piece, distinct)
            return sort_counts(map(often, parts), self._spill, MOST_TEXT)
        self._settle()
        whole = pa.concat_tables([COLUMNS.empty_table(), *self._parts])
        if min_count > 1:
            whole = often(whole)
        whole = whole.sort_by(ORDER)
        if (pc.sum(pc.binary_length(whole["value"])).as_py() or 0) <= MOST_TEXT:
            whole = whole.set_column(0, "value", whole["value"].cast(pa.string()))
        ids = pa.array(np.arange(1, len(whole) + 1), pa.int32())
        return whole.append_column("id", ids).combine_chunks()


@dataclasses.dataclass(frozen=True)
class NumberCounts:
    """How often each number occurs, exactly up to `MOST_DISTINCT` distinct values.

    Above that, float64 loses as many of its lowest bits as it takes to have no more.
    Each number then counts in a cell, and the same ones however parts are merged: cells
    of fewer bits are whole unions of those of more. Zero stays apart.
    """

    values: np.ndarray  # (n,) float64, ascending: the numbers, or lower ends of cells
    counts: np.ndarray  # (n,) int64
    lost: int = 0  # lowest bits of float64 that do not count

    @classmethod
    def none(cls) -> "NumberCounts":
        """Those of no numbers."""
        return cls(np.zeros(0), np.zeros(0, np.int64))

    @classmethod
    def of(cls, numbers: np.ndarray) -> "NumberCounts":
        """Counts numbers (B,); NaN means missing and is not counted."""
        there = numbers[~np.isnan(numbers)]
        return cls(*np.unique(there + 0.0, return_counts=True)).compact()

    def merge(self, other: "NumberCounts") -> "NumberCounts":
        """Adds up the counts of both."""
        lost = max(self.lost, other.lost)
        values = np.r_[lower_ends(self.values, lost), lower_ends(other.values, lost)]
        counts = np.r_[self.counts, other.counts]
        order = np.argsort(values, kind="stable")  # fast on runs that ascend
        return NumberCounts(*_add_up(values[order], counts[order]), lost).compact()

    def compact(self) -> "NumberCounts":
        """Drops lowest bits until about `MOST_DISTINCT` values remain, zero aside."""
        if len(self.values) <= MOST_DISTINCT:
            return self
        keys = _keys(self.values)
        apart = (keys[1:] ^ keys[:-1]).view(
            np.uint64
        )  # bits that tell neighbours apart
        nearer = np.partition(apart, -MOST_DISTINCT)[-MOST_DISTINCT]
        lost = max(self.lost, int(nearer).bit_length())
        return NumberCounts(*_add_up(lower_ends(self.values, lost), self.counts), lost)

    @property
    def middles(self) -> np.ndarray:  # (n,) float64
        """The middles of cells, or the numbers where these are counted exactly."""
        if not self.lost:
            return self.values
        keys = _keys(self.values)
        middles = np.minimum(keys | (1 << self.lost - 1), ~LOWEST)  # finite
        return np.where(keys == 0, 0.0, _floats(middles))

    def moments(self, log: bool) -> tuple[float, float]:
        """Mean and standard deviation of the numbers, or of their signed logarithms."""
        if not len(self.values):
            return 0.0, 1.0
        values = signed_log(self.middles) if log else self.middles
        with np.errstate(over="ignore", invalid="ignore"):
            mean, spread = _moments(values, self.counts)
        if not np.isfinite(spread):  # squares overflow from 1e154 on
            scale = np.abs(values).max()
            mean, spread = (m * scale for m in _moments(values / scale, self.counts))
        return float(mean), float(spread) or 1.0

    def quantiles(self, bins: int, nonzero: bool) -> np.ndarray:
        """The distinct values at the quantiles 1/bins .. (bins-1)/bins, ascending.

        Where numbers count in cells, a quantile is the lower end of one.
        """
        keep = self.values != 0 if nonzero else slice(None)
        values, counts = self.values[keep], self.counts[keep]
        if not len(values):
            return values
        wanted = np.arange(1, bins) / bins * counts.sum()
        return np.unique(values[np.searchsorted(np.cumsum(counts), wanted)])


def lower_ends(values: np.ndarray, lost: int) -> np.ndarray:  # (n,) float64
    """The least number of the cell of each one (n,), without `lost` bits of float64.

    Zero has a cell of its own.
    """
    if not lost:
        return values
    keys = _keys(values)
    ends = np.maximum(keys >> lost << lost, LOWEST)
    return _floats(np.where((keys > 0) & (ends == 0), 1, ends))


def _keys(values: np.ndarray) -> np.ndarray:  # (n,) int64, in the order of the numbers
    bits = (values + 0.0).view(np.int64)  # -0.0 is 0.0
    return np.where(bits < 0, bits ^ ALL_BUT_SIGN, bits)


def _floats(keys: np.ndarray) -> np.ndarray:
    """Reverses `_keys`."""
    return np.where(keys < 0, keys ^ ALL_BUT_SIGN, keys).view(np.float64)


def _add_up(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct ones of ascending values (n,), and the sums of their counts."""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]][: len(values)])
    return values[starts], np.add.reduceat(counts, starts) if len(values) else counts


def _moments(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of values (n,) that occur `counts` (n,) times."""
    mean = np.average(values, weights=counts)
    return mean, np.average((values - mean) ** 2, weights=counts) ** 0.5


def signed_log(x: np.ndarray) -> np.ndarray:
    """sign(x) log(1 + |x|)."""
    return np.sign(x) * np.log1p(np.abs(x))
