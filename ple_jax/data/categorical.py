"""Numbers of categorical fields: how often a value occurs, and its label means.

`count` is two columns, log(1 + n) and n / N, as z-scores over train: n is how many
other values of train are the same, N how many there are. `target_mean` is a column for
each task (see `data.target_mean`). A field of lists has the mean over its items, or 0
if it has none. A value that is missing or that train lacks has n = 0, and the prior.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ple_jax.data.label_sums import LabelSums
from ple_jax.data.spill import PIECE, Spill
from ple_jax.data.target_fit import Groups, fit_target_means
from ple_jax.data.target_mean import FoldMeans, SavedPairs, TargetMeans
from ple_jax.layout import NumberColumn
from ple_jax.schema import Field, Schema

NUMBERS = ("count", "target_mean")


@dataclasses.dataclass(frozen=True)
class CountFit:
    """How often the values of a field occur in train.

    Attributes:
        n: How often each value of the vocabulary occurs (V,).
        total: How many values there are in train, N.
        moments: (mean, standard deviation) of log(1 + n) and of n / N over train.
    """

    n: np.ndarray
    total: int
    moments: tuple[tuple[float, float], tuple[float, float]]

    def numbers(self, value: np.ndarray, in_train: bool) -> list[np.ndarray]:
        """The columns of values (n,), -1 for unknown; in train, n leaves out itself."""
        n = np.r_[self.n - in_train, 0][value]
        columns = np.log1p(n), n / max(self.total, 1)
        return [
            ((x - mean) / spread).astype(np.float32)
            for x, (mean, spread) in zip(columns, self.moments, strict=True)
        ]


def fit_count(n: np.ndarray, total: int) -> CountFit:
    """Fits z-scores to a vocabulary's counts (V,), of `total` values in train."""

    def moments(x: np.ndarray) -> tuple[float, float]:  # the other values have x = 0
        mean = (n * x).sum() / max(total, 1)
        square = (n * x**2).sum() / max(total, 1) - mean**2
        return float(mean), float(max(square, 0.0) ** 0.5) or 1.0

    return CountFit(
        n, total, (moments(np.log(np.maximum(n, 1))), moments((n - 1) / max(total, 1)))
    )


@dataclasses.dataclass(frozen=True)
class CategoricalFit:
    """The numbers of a field whose values are ids, fitted on train.

    Attributes:
        name: Name of the field.
        counts: What `count` needs; None if the field does not ask for it.
        means: What `target_mean` needs; None if the field does not ask for it.
        folds: What rows of train need beside it; only while a data set is prepared.
    """

    name: str
    counts: CountFit | None = None
    means: TargetMeans | None = None
    folds: FoldMeans | None = None

    def number_columns(self) -> list[NumberColumn]:
        """The columns of numbers."""
        names = ["count", "share"] if self.counts else []
        if self.means:
            names += [f"target_mean:{task.name}" for task in self.means.tasks]
        return [NumberColumn(f"{self.name}:{name}") for name in names]

    def numbers(
        self,
        value: np.ndarray,
        domain: np.ndarray,
        folds: np.ndarray | None = None,
        items: np.ndarray | None = None,
    ) -> list[np.ndarray]:  # columns (B,) float32
        """Encodes values as numbers.

        Args:
            value: The row in the vocabulary of each value (n,); -1 if there is none.
            domain: The domain of each row (B,).
            folds: The fold of each row (B,), for rows of train.
            items: The row that each value belongs to (n,), for a column of lists.
        """
        if items is None:
            return self._of_values(value, domain, folds)
        folds = None if folds is None else folds[items]
        columns = self._of_values(value, domain[items], folds)
        counts = np.maximum(np.bincount(items, minlength=len(domain)), 1)
        add = lambda column: np.bincount(items, weights=column, minlength=len(domain))
        return [(add(column) / counts).astype(np.float32) for column in columns]

    def _of_values(
        self, value: np.ndarray, domain: np.ndarray, folds: np.ndarray | None
    ) -> list[np.ndarray]:
        columns = []
        if self.counts:
            columns += self.counts.numbers(value, folds is not None)
        if self.means and folds is None:
            columns += [*self.means.encode(value, domain).T]
        elif self.folds and folds is not None:
            columns += [*self.folds.encode(value, domain, folds).T]
        return columns

    def facts(self) -> dict[str, Any]:
        """Plain values, ready for JSON; the means of each value are in Parquet."""
        found: dict[str, Any] = {"name": self.name}
        if self.counts:
            count = {"total": self.counts.total, "moments": self.counts.moments}
            found["count"] = count
        if self.means:
            found["target_mean"] = self.means.facts()
        return found

    def save_means(self, path: pathlib.Path) -> None:
        """Writes each value's row, domain, and n and sum of each task, if there are."""
        if self.means is None:
            return
        path.parent.mkdir(exist_ok=True)
        rows = range(0, max(len(self.means.keys), 1), PIECE)
        tables = (_table_of(self.means, slice(row, row + PIECE)) for row in rows)
        first = next(tables)
        with pq.ParquetWriter(path, first.schema, write_page_checksum=True) as file:
            for table in itertools.chain([first], tables):
                file.write_table(table)

    @classmethod
    def load(
        cls,
        facts: dict[str, Any],
        schema: Schema,
        vocabularies: Mapping[str, pa.Table],
        path: pathlib.Path,
    ) -> "CategoricalFit":
        """From what `facts` gave and, if it has means, `save_means` wrote."""
        counts = means = None
        field = next(f for f in schema.fields if f.name == facts["name"])
        if "count" in facts:
            n = vocabularies[field.table or field.name]["count"].to_numpy()
            log, share = map(tuple, facts["count"]["moments"])
            counts = CountFit(n, facts["count"]["total"], (log, share))
        if "target_mean" in facts:
            plain = facts["target_mean"]
            pairs = SavedPairs(path, schema.tasks, plain["domains"])
            means = TargetMeans.of(schema.tasks, plain, pairs)
        return cls(facts["name"], counts, means)


def _table_of(means: TargetMeans, cells: slice) -> pa.Table:
    row, domain = np.divmod(means.keys[cells], means.domains)
    columns = {"row": row.astype(np.int32), "domain": domain.astype(np.int32)}
    for t, task in enumerate(means.tasks):
        columns[f"n_{task.name}"] = means.pairs.n[cells, t]
        columns[f"sum_{task.name}"] = means.pairs.sums[cells, t]
    return pa.table(columns)


def has_ids(field: Field) -> bool:
    """Whether the values of a field are embedded; `auto` of lists means that too."""
    return bool({"auto", "id", "rare"} & set(field.encodings))


def has_numbers(field: Field) -> bool:
    """Whether a field whose values are ids has numbers too."""
    return field.kind != "numeric" and bool(set(NUMBERS) & set(field.encodings))


def fit_categorical(
    field: Field,
    schema: Schema,
    vocabulary: pa.Table,
    whole: pa.Table,
    sums: LabelSums | None,
    domains: list[str],
    spill: Spill | None = None,
) -> CategoricalFit:
    """Fits the numbers of a field.

    Args:
        field: The field.
        schema: The schema that it is of.
        vocabulary: The values that it keeps, most frequent first; null pools the rest.
        whole: All values of train in the same order.
        sums: The sums of labels by value, if it has or may have `target_mean`.
        domains: Names of the domains, if there are some.
        spill: Where that goes which memory should not hold.
    """
    counts = means = folds = None
    if "count" in field.encodings:
        total = pc.sum(whole["count"]).as_py() or 0
        counts = fit_count(vocabulary["count"].to_numpy(), total)
    if sums is not None and "target_mean" in field.encodings:
        size = len(vocabulary)
        known = Groups(
            whole["value"],
            pa.array(domains if schema.domain else [""], pa.string()),
            size - vocabulary["value"].null_count,
            size,
        )
        by_time = schema.split.by == "time"
        means, folds = fit_target_means(sums, known, schema.tasks, by_time, spill)
    return CategoricalFit(field.name, counts, means, folds)
