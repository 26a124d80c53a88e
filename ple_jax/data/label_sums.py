"""Sums of the labels by value, domain and fold of train. They merge exactly.

Addends are whole numbers, of 1 or of 2^-32, so that a sum is the same in any order and
for any chunks.
"""

import pathlib
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.arrow import is_missing
from ple_jax.data.cells import Cells, in_ranges
from ple_jax.data.labels import read_labels, read_weights
from ple_jax.data.rows import Rows
from ple_jax.data.spill import Spill, by_hash, in_parts
from ple_jax.data.text_index import TextIndex
from ple_jax.schema import Schema

MOST_BYTES = 1 << 26  # of a field's rows, that wait to be added up
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


class _Part(NamedTuple):
    """Rows whose values and domains are codes into these strings."""

    value: np.ndarray  # (n,)
    domain: np.ndarray  # (n,)
    fold: np.ndarray  # (n,)
    amounts: np.ndarray  # (n, M)
    values: pa.Array
    domains: pa.Array

    @property
    def nbytes(self) -> int:
        """All of it."""
        return sum(column.nbytes for column in self)

    @classmethod
    def of(cls, table: pa.Table) -> "_Part":
        """From what `table` gave."""
        value, domain, fold, *amounts = (c.combine_chunks() for c in table.columns)
        each = np.arange(len(table))
        whole = np.stack([column.to_numpy() for column in amounts], axis=1)
        return cls(each, each, fold.to_numpy(), whole, value, domain)

    def table(self) -> pa.Table:
        """The strings themselves, folds and amounts."""
        value, domain = self.values.take(self.value), self.domains.take(self.domain)
        columns = {"value": value, "domain": domain.cast(pa.large_string())}
        columns["fold"] = pa.array(self.fold, pa.int64())
        for m, amounts in enumerate(self.amounts.T):
            columns[f"amount_{m}"] = pa.array(amounts)
        return pa.table(columns)


class LabelSums:
    """Adds up labels by value, domain and fold; missing values do not count.

    What memory should not hold is spilled to disk, if there is a place for it.

    Attributes:
        squares: The exact sums of weight * label^2 of numbers (T,), in 2^-32.
        labels: How many labels have a weight above 0 (T,).
        folds: How many folds all rows are in, with those of missing values.
    """

    def __init__(self, spill: Spill | None = None) -> None:
        self.folds = 1
        self.columns: tuple[str, ...] = ()
        self.squares: np.ndarray = np.zeros(1, object)
        self.labels: np.ndarray = np.zeros(1, int)
        self._spill = spill
        self._runs: list[pathlib.Path] = []  # what has been spilled
        self._parts: list[_Part] = []
        # Adding up takes a few times as much as what waits.
        self._bytes, self._limit = 0, spill.piece if spill else MOST_BYTES

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
        both = LabelSums(self._spill or other._spill)
        both._limit = max(self._limit, other._limit)
        both.columns = self.columns or other.columns
        both.folds = max(self.folds, other.folds)
        both.squares = self.squares + other.squares
        both.labels = self.labels + other.labels
        both._runs = self._runs + other._runs
        both._append([*self._parts, *other._parts])
        return both

    def _append(self, parts: list[_Part]) -> None:
        self._parts += parts
        self._bytes += sum(part.nbytes for part in parts)
        if self._bytes > self._limit:
            self.settle()
            self._limit = max(self._limit, 2 * self._bytes)

    def settle(self) -> None:
        """Adds up what waits, before it is sent or kept; much of it goes to disk."""
        if not self._parts:
            return
        of = lambda name: pa.chunked_array([getattr(p, name) for p in self._parts])
        names = of("values").unique(), of("domains").unique()
        value, domain, fold, amounts = _cells(
            self._parts, TextIndex(names[0]), TextIndex(names[1])
        ).columns
        self._parts = [_Part(value, domain, fold, amounts, *names)]
        self._bytes = self._parts[0].nbytes
        if self._spill and self._bytes > self._spill.piece // 2:
            self._write(self._spill)

    def _write(self, spill: Spill) -> None:
        tables = [part.table() for part in self._parts]
        if tables:
            whole = pa.concat_tables(tables)
            self._runs.append(spill.write(by_hash(whole), whole.schema))
        self._parts, self._bytes = [], 0

    def cells(self, values: pa.Array, domains: pa.Array) -> list[Cells]:
        """The cells, whose values and domains are numbered as in these strings.

        They are in the order of values, and no value is in two of the list. Of sums
        that were spilled, they are on disk too.
        """
        known, known_domains = TextIndex(values, self._spill), TextIndex(domains)
        if not self._runs or not self._spill:
            return [_cells(self._parts, known, known_domains)]
        self._write(self._spill)
        parts = [
            _cells([_Part.of(table)], known, known_domains).kept(self._spill)
            for table in in_parts(self._runs, self._spill.piece)
        ]
        ranges = in_ranges(parts, self._spill.piece)
        return [some.kept(self._spill) for some in ranges]


def _cells(parts: list[_Part], values: TextIndex, domains: TextIndex) -> Cells:
    columns = [
        (
            values.find(part.values)[part.value],
            # A missing one is an error, as soon as rows are encoded.
            np.maximum(domains.find(part.domains), 0)[part.domain],
            part.fold,
            part.amounts,
        )
        for part in parts
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
