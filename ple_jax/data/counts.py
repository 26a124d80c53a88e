"""Counts of the train split. They merge: the counts of chunks add up to the whole."""

import dataclasses
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MOST_DISTINCT = 100_000  # distinct numbers that are counted exactly


class ValueCounts:
    """How often each string occurs. Missing values are not counted."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._rows = 0

    def add(self, codes: np.ndarray, values: pa.Array) -> None:
        """Counts codes (B,) into an array of strings, as `Rows.text` gives them."""
        counts = np.bincount(codes, minlength=len(values))
        part = pa.table({"value": values, "count": pa.array(counts, pa.int64())})
        keep = pc.and_(pc.is_valid(part["value"]), pc.greater(part["count"], 0))
        self._parts.append(part.filter(keep))
        self._rows += len(values)
        if self._rows > 4_000_000:
            self._compact()

    def _compact(self) -> None:
        whole = pa.concat_tables(self._parts).group_by("value", use_threads=False)
        whole = whole.aggregate([("count", "sum")]).rename_columns(["value", "count"])
        self._parts, self._rows = [whole], len(whole)

    def merge(self, other: "ValueCounts") -> "ValueCounts":
        """Adds up the counts of both."""
        both = ValueCounts()
        both._parts, both._rows = self._parts + other._parts, self._rows + other._rows
        return both

    def vocabulary(self, min_count: int = 1) -> pa.Table:
        """value, count, id: most frequent first, ties by value; ids start at 1."""
        if not self._parts:
            self._parts = [
                pa.table({"value": pa.array([], pa.string()), "count": [0][:0]})
            ]
        self._compact()
        whole = self._parts[0]
        whole = whole.filter(pc.greater_equal(whole["count"], min_count))
        whole = whole.sort_by([("count", "descending"), ("value", "ascending")])
        ids = pa.array(np.arange(1, len(whole) + 1), pa.int32())
        return whole.append_column("id", ids).combine_chunks()


@dataclasses.dataclass(frozen=True)
class NumberCounts:
    """How often each number occurs, exactly up to `MOST_DISTINCT` distinct values.

    Above that, neighbouring values are merged to bound memory. Zero stays apart.
    """

    values: np.ndarray  # (n,) float64, ascending
    counts: np.ndarray  # (n,) int64

    @classmethod
    def of(cls, numbers: np.ndarray) -> "NumberCounts":
        """Counts numbers (B,); NaN means missing and is not counted."""
        there = numbers[~np.isnan(numbers)]
        return cls(*np.unique(there, return_counts=True)).compact()

    def merge(self, other: "NumberCounts") -> "NumberCounts":
        """Adds up the counts of both."""
        values, place = np.unique(np.r_[self.values, other.values], return_inverse=True)
        both = np.r_[self.counts, other.counts]
        counts = np.bincount(place, weights=both, minlength=len(values))
        return NumberCounts(values, counts.astype(np.int64)).compact()

    def compact(self) -> "NumberCounts":
        """Merges neighbours until at most `MOST_DISTINCT` values remain.

        Each remaining value stands for about as many rows.
        """
        if len(self.values) <= MOST_DISTINCT:
            return self
        share = (np.cumsum(self.counts) - 1) / self.counts.sum()
        group = (share * (MOST_DISTINCT // 2)).astype(np.int64) * 3
        group += np.sign(self.values).astype(np.int64) + 1  # keeps zero apart
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        counts = np.add.reduceat(self.counts, starts)
        with np.errstate(over="ignore", invalid="ignore"):
            means = np.add.reduceat(self.values * self.counts, starts) / counts
        finite = np.isfinite(means)  # sums of numbers near 1e308 are not
        return NumberCounts(np.where(finite, means, self.values[starts]), counts)

    def moments(self, log: bool) -> tuple[float, float]:
        """Mean and standard deviation of the numbers, or of their signed logarithms."""
        if not len(self.values):
            return 0.0, 1.0
        values = signed_log(self.values) if log else self.values
        with np.errstate(over="ignore", invalid="ignore"):
            mean, spread = _moments(values, self.counts)
        if not np.isfinite(spread):  # squares overflow from 1e154 on
            scale = np.abs(values).max()
            mean, spread = (m * scale for m in _moments(values / scale, self.counts))
        return float(mean), float(spread) or 1.0

    def quantiles(self, bins: int, nonzero: bool) -> np.ndarray:
        """The distinct values at the quantiles 1/bins .. (bins-1)/bins, ascending."""
        keep = self.values != 0 if nonzero else slice(None)
        values, counts = self.values[keep], self.counts[keep]
        if not len(values):
            return values
        wanted = np.arange(1, bins) / bins * counts.sum()
        return np.unique(values[np.searchsorted(np.cumsum(counts), wanted)])


def _moments(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of values (n,) that occur `counts` (n,) times."""
    mean = np.average(values, weights=counts)
    return mean, np.average((values - mean) ** 2, weights=counts) ** 0.5


def signed_log(x: np.ndarray) -> np.ndarray:
    """sign(x) log(1 + |x|)."""
    return np.sign(x) * np.log1p(np.abs(x))


def merge_all(parts: list[NumberCounts]) -> NumberCounts:
    """Adds up the counts of all parts."""
    return reduce(NumberCounts.merge, parts, NumberCounts.of(np.zeros(0)))
