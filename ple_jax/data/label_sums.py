"""Sums of the labels by value, domain and fold of train. They merge exactly.

Addends are whole numbers, of 1 or of 2^-32, so that a sum is the same in any order and
for any chunks.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.arrow import is_missing
from ple_jax.data.labels import read_labels, read_weights
from ple_jax.data.rows import Rows
from ple_jax.data.text_index import TextIndex
from ple_jax.schema import Schema

MOST_FOLDS = 32
MOST_ROWS = 1_000_000  # of a field, that wait to be added up
PARTS = 2.0**32  # how many units 1 has, where there are fractions
MOST = 2.0**31  # labels and weights from here on could overflow a sum


class Addends(NamedTuple):
    """What each row of train adds to the sums of its values."""

    columns: tuple[str, ...]  # n_TASK, sum_TASK; fractions are in NAME:parts (M,)
    amounts: np.ndarray  # (B, M) int64
    squares: np.ndarray  # (B, T) float64: weight * label^2 of a number, else 0
    labels: np.ndarray  # (B, T) bool: has a label and a weight above 0
    folds: np.ndarray  # (B,) int64
    domain: np.ndarray  # (B,) int64: codes into `domains`
    domains: pa.Array  # of strings

    @classmethod
    def read(cls, rows: Rows, schema: Schema, folds: np.ndarray) -> "Addends":
        """Reads the labels, weights and domains of train rows with their folds (B,).

        Raises:
            ValueError: A label or a weight is 2^31 or more.
        """
        labels, observed = (x.astype(np.float64) for x in read_labels(rows, schema))
        n = read_weights(rows, schema)[:, None] * observed
        weighted = schema.weight is not None
        named: dict[str, np.ndarray] = {}
        for t, task in enumerate(schema.tasks):
            column, total = task.label_column, n[:, t] * labels[:, t]
            for x in (labels[:, t], n[:, t], total):
                _check_size(rows, column, x)
            named |= _exact(f"n_{task.name}", n[:, t], weighted)
            fractions = weighted or not task.is_binary
            named |= _exact(f"sum_{task.name}", total, fractions)
        domain, domains = np.zeros(len(rows), np.int64), pa.array([""])
        if schema.domain:
            domain, domains = rows.text(schema.domain)
            if schema.unseen_domain:  # which a missing one counts as, as in `labels`
                domains = pc.fill_null(domains, schema.unseen_domain)
        amounts = np.stack(list(named.values()), axis=1)
        squares = n * labels**2 * [not task.is_binary for task in schema.tasks]
        return cls(tuple(named), amounts, squares, n > 0, folds, domain, domains)


def _check_size(rows: Rows, column: str, x: np.ndarray) -> None:
    bad = np.abs(x) >= MOST
    if bad.any():
        wanted = "labels and weights below 2^31, since a field has `target_mean`"
        raise rows.error(column, bad.argmax(), wanted)


def _exact(name: str, x: np.ndarray, fractions: bool) -> dict[str, np.ndarray]:
    """Numbers (B,) as whole ones, and the rest in units of 2^-32 (rounded)."""
    whole = np.floor(x)
    columns = {name: whole.astype(np.int64)}
    if fractions:
        columns[f"{name}:parts"] = np.rint((x - whole) * PARTS).astype(np.int64)
    return columns


def _total(x: np.ndarray) -> np.ndarray:  # (n, T) -> (T,) Python integers
    """The exact sums of numbers below 2^62, each rounded to 2^-32, in its units."""
    if not x.any():
        return np.zeros(x.shape[1], object)
    whole = np.floor(x)
    parts = np.rint((x - whole) * PARTS).astype(np.int64).sum(axis=0)
    high, low = np.divmod(whole.astype(np.int64), 1 << 31)
    high, low = high.sum(axis=0).astype(object), low.sum(axis=0).astype(object)
    return ((high << 31) + low << 32) + parts.astype(object)


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

    def pooled(self, kept: int, size: int) -> "Cells":
        """The cells of `size` values; all from `kept` on are the value `kept`."""
        if kept == size and self.value.max(initial=0) < kept:
            return self
        value = np.minimum(self.value, kept)
        some = value < size
        rest = self.domain[some], self.fold[some], self.amounts[some]
        return Cells.of(value[some], *rest)


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
    most 16 times as long as the keys that there are.
    """

    def __init__(self, keys: np.ndarray, size: int):
        self.keys, self.table = np.r_[keys, size], None
        if size <= 16 * len(keys) + (1 << 20):
            self.table = np.full(size + 1, -1, np.int32)  # the last is for key -1
            self.table[keys] = np.arange(len(keys))

    def find(self, wanted: np.ndarray) -> np.ndarray:  # (n,) int
        """The place of each key (n,); -1 for one that is negative or not there."""
        if self.table is not None:
            return self.table[np.maximum(wanted, -1)]
        distinct, of = np.unique(wanted, return_inverse=True)  # near ones are near
        at = np.searchsorted(self.keys, distinct)
        return np.where(self.keys[at] == distinct, at, -1)[of]


class _Part(NamedTuple):
    """Rows whose values and domains are codes into these strings."""

    value: np.ndarray  # (n,)
    domain: np.ndarray  # (n,)
    fold: np.ndarray  # (n,)
    amounts: np.ndarray  # (n, M)
    values: pa.Array
    domains: pa.Array


class LabelSums:
    """Adds up labels by value, domain and fold; missing values do not count.

    Attributes:
        squares: The exact sums of weight * label^2 of numbers (T,), in 2^-32.
        labels: How many labels have a weight above 0 (T,).
        folds: How many folds all rows are in, with those of missing values.
    """

    def __init__(self) -> None:
        self.folds = 1
        self.columns: tuple[str, ...] = ()
        self.squares: np.ndarray = np.zeros(1, object)
        self.labels: np.ndarray = np.zeros(1, int)
        self._parts: list[_Part] = []
        self._rows, self._limit = 0, MOST_ROWS

    def add(
        self,
        codes: np.ndarray,
        values: pa.Array,
        addends: Addends,
        item_rows: np.ndarray | None = None,
    ) -> None:
        """Adds the rows of a chunk.

        Args:
            codes: The value of each row, or of each item (n,).
            values: The strings that codes index; null means missing.
            addends: What each row adds.
            item_rows: The row of each item (n,), for a column of lists.
        """
        there = ~is_missing(values)[codes]
        at = np.flatnonzero(there) if item_rows is None else item_rows[there]
        amounts = addends.amounts.take(at, axis=0)
        more = addends.domain[at], addends.folds[at], amounts
        self.columns = addends.columns
        self.folds = max(self.folds, int(addends.folds.max(initial=0)) + 1)
        self.squares = self.squares + _total(addends.squares[at])
        self.labels = self.labels + addends.labels[at].sum(axis=0)
        # All values may be longer than the offsets of `string` reach.
        values = values.cast(pa.large_string())
        self._append([_Part(codes[there], *more, values, addends.domains)])

    def merge(self, other: "LabelSums") -> "LabelSums":
        """Adds up the sums of both."""
        both = LabelSums()
        both._limit = max(self._limit, other._limit)
        both.columns = self.columns or other.columns
        both.folds = max(self.folds, other.folds)
        both.squares = self.squares + other.squares
        both.labels = self.labels + other.labels
        both._append([*self._parts, *other._parts])
        return both

    def _append(self, parts: list[_Part]) -> None:
        self._parts += parts
        self._rows += sum(len(part.value) for part in parts)
        if self._rows > self._limit:
            self.settle()
            self._limit = max(self._limit, 2 * self._rows)

    def settle(self) -> None:
        """Adds up what waits, before it is sent or kept."""
        if not self._parts:
            return
        of = lambda name: pa.chunked_array([getattr(p, name) for p in self._parts])
        names = of("values").unique(), of("domains").unique()
        cells = self.cells(*names)
        rows = cells.value, cells.domain, cells.fold, cells.amounts
        self._parts, self._rows = [_Part(*rows, *names)], len(cells.value)

    def cells(self, values: pa.Array, domains: pa.Array) -> Cells:
        """The cells, whose values and domains are numbered as in these strings."""
        known, known_domains = TextIndex(values), TextIndex(domains)
        columns = [
            (
                known.find(part.values)[part.value],
                # A missing one is an error, as soon as rows are encoded.
                np.maximum(known_domains.find(part.domains), 0)[part.domain],
                part.fold,
                part.amounts,
            )
            for part in self._parts
        ]
        return Cells.of(*(np.concatenate(each) for each in zip(*columns, strict=True)))


def read_amounts(
    columns: tuple[str, ...], amounts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """n and the sums of labels (C, T) float64, from amounts (C, M) of these columns."""
    of = dict(zip(columns, amounts.T, strict=True))
    whole = [name for name in columns if not name.endswith(":parts")]
    both = [of[name] + of.get(f"{name}:parts", 0) / PARTS for name in whole]
    return np.stack(both[::2], axis=1), np.stack(both[1::2], axis=1)
