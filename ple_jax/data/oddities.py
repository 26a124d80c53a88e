"""What is odd about the rows of a data set, counted while they are encoded."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from ple_jax.data.hashing import hash_texts, mix
from ple_jax.schema import Schema

ODD = np.uint64(0x9E6C63D0676A9A99)  # tells the first column from the second
MOST_KEYS = 1 << 22  # of a split; beyond, a sample is kept


class Oddities:
    """What is odd about the rows of a split.

    Attributes:
        outside: Task -> how many labels are 1 although the task that it is given has
            the label 0.
        keys: A hash of each row's fields, labels, domain and user, or of every row
            whose hash is a multiple of `stride`.
        stride: A power of 2.
    """

    def __init__(self) -> None:
        self.outside: Counter[str] = Counter()
        self.keys = np.zeros(0, np.uint64)
        self.stride = 1

    def add_keys(self, hashes: np.ndarray) -> None:
        """Notes hashes (B,) of more rows."""
        self.keys = np.r_[self.keys, self._sample(hashes)]
        while len(self.keys) > MOST_KEYS:
            self.stride *= 2
            self.keys = self._sample(self.keys)

    def merge(self, other: "Oddities") -> "Oddities":
        """Adds up what is odd about the rows of both."""
        both = Oddities()
        both.outside = self.outside + other.outside
        both.stride = max(self.stride, other.stride)
        both.add_keys(np.r_[self.keys, other.keys])
        return both

    def _sample(self, keys: np.ndarray) -> np.ndarray:
        return keys[keys % np.uint64(self.stride) == 0]

    def add_labels(self, labels: np.ndarray, schema: Schema) -> None:
        """Counts labels (B, T), NaN where missing, outside their sample spaces."""
        names = [task.name for task in schema.tasks]
        for i, task in enumerate(schema.tasks):
            if task.given is not None and task.is_binary:
                condition = labels[:, names.index(task.given)]
                wrong = (labels[:, i] == 1) & (condition == 0)
                self.outside[task.name] += int(wrong.sum())

    def repeated(self, train: "Oddities") -> int:
        """How many rows are also in train; an estimate where keys are a sample."""
        stride = np.uint64(max(self.stride, train.stride))
        mine, theirs = (
            np.sort(keys[keys % stride == 0]) for keys in (self.keys, train.keys)
        )
        at = np.minimum(np.searchsorted(theirs, mine), len(theirs) - 1)
        return int((theirs[at] == mine).sum()) * int(stride) if len(theirs) else 0


class RowKey:
    """A hash of each row of a chunk, column by column; nothing if nobody counts."""

    def __init__(self, rows: int, odd: Oddities | None):
        self.hashes, self.odd = np.zeros(rows, np.uint64), odd

    def add(self, values: np.ndarray) -> None:
        """Takes in a column of numbers (B,)."""
        if self.odd is not None:
            self._add(mix(_bits(values), 0))

    def _add(self, hashes: np.ndarray) -> None:
        self.hashes *= ODD
        self.hashes += hashes

    def add_texts(
        self, codes: np.ndarray, values: pa.Array, items: np.ndarray | None = None
    ) -> None:
        """Takes in codes into strings: of rows (B,), or of items, whose rows are given.

        The order of a row's items does not matter.
        """
        if self.odd is None:
            return
        hashes = hash_texts(values)[codes]
        if items is not None:
            ends = np.searchsorted(items, np.arange(len(self.hashes) + 1))
            sums = np.cumsum(mix(hashes, 1), dtype=np.uint64)
            hashes = np.diff(np.r_[np.uint64(0), sums][ends])
        self._add(hashes)

    def finish(
        self, labels: np.ndarray, user: np.ndarray | None, schema: Schema
    ) -> None:
        """Takes in labels (B, T), NaN where missing, and users (B,); counts rows."""
        if self.odd is None:
            return
        for column in [*labels.T, *([] if user is None else [user])]:
            self.add(column)
        self.odd.add_keys(self.hashes)
        self.odd.add_labels(labels, schema)


def _bits(values: np.ndarray) -> np.ndarray:  # (n,) uint64
    if values.dtype.kind == "f":
        exact = np.where(np.isnan(values), np.nan, values + 0.0)  # no minus zero
        return exact.astype(np.float64).view(np.uint64)
    return values.astype(np.uint64)


def facts_of(splits: Mapping[str, Oddities]) -> dict[str, dict[str, int]]:
    """Plain values of all splits, of which the first is train."""
    train, *others = splits
    repeated = {split: splits[split].repeated(splits[train]) for split in others}
    outside = sum((found.outside for found in splits.values()), Counter[str]())
    return {"repeated": repeated, "outside": dict(outside)}


def lines(
    facts: Mapping[str, Mapping[str, int]], rows: Mapping[str, int], schema: Schema
) -> Iterator[str]:
    """What is worth a word."""
    for split, count in facts["repeated"].items():
        if count:
            yield (
                f"{count:,} of {rows[split]:,} rows of {split} "
                f"({count / rows[split]:.1%}) equal a row of train in every field, "
                "label, domain and user"
            )
    given = {task.name: task.given for task in schema.tasks}
    for task, count in facts["outside"].items():
        if count:
            yield (
                f"{count:,} labels of {task!r} are 1 where that of {given[task]!r} is "
                "0: they are outside its sample space, and left out"
            )
