"""The counts of the train split that an encoder is fitted to."""

import numpy as np
import pyarrow as pa

from ple_jax.data.auto import is_open
from ple_jax.data.counts import NumberCounts, ValueCounts
from ple_jax.data.label_sums import Addends, LabelSums
from ple_jax.data.labels import read_labels
from ple_jax.data.rows import Rows
from ple_jax.data.spill import Spill
from ple_jax.schema import Field, Schema

PARTS = ("values", "numbers", "labels", "targets", "sums")  # what merges by name


class Counts:
    """The counts of the train split that fitting needs.

    `scales` says whether those of labels that are numbers are fitted too; `spill` where
    counts of ids go that are more than memory should hold.
    """

    def __init__(self, schema: Schema, scales: bool = True, spill: Spill | None = None):
        self.schema, self.spill = schema, spill
        tables = dict.fromkeys(f.table or f.name for f in table_fields(schema))
        summed = [
            f.name
            for f in table_fields(schema)
            if "target_mean" in f.encodings or is_open(f)
        ]
        share = spill.share(len(tables) + len(summed)) if spill else None
        self.values = {table: ValueCounts(share) for table in tables}
        numeric = [f.name for f in schema.fields if f.kind == "numeric"]
        self.numbers = dict.fromkeys(numeric, NumberCounts.none())
        self.domains = ValueCounts()
        lists = [t for t in schema.tasks if isinstance(t.positive, tuple)]
        self.labels = {task: ValueCounts() for task in lists}
        numbers = [t.name for t in schema.tasks if scales and not t.is_binary]
        self.targets = dict.fromkeys(numbers, NumberCounts.none())
        self.sums = {name: LabelSums(share) for name in summed}

    def add(self, rows: Rows, folds: np.ndarray | None = None) -> None:
        """Counts more rows of the train split.

        Args:
            rows: The rows.
            folds: The fold of each (B,), which only `target_mean` needs.
        """
        addends = None
        if self.sums:
            if folds is None:
                raise ValueError(f"{list(self.sums)} have target means: give folds.")
            addends = Addends.read(rows, self.schema, folds)
        for field in self.schema.fields:
            if field.kind == "numeric":
                more = NumberCounts.of(rows.numbers(field.name))
                self.numbers[field.name] = self.numbers[field.name].merge(more)
            else:
                items, codes, values = codes_of(rows, field)
                self.values[field.table or field.name].add(codes, values)
                if addends and field.name in self.sums:
                    self.sums[field.name].add(codes, values, addends, items)
        if self.schema.domain:
            self.domains.add(*rows.text(self.schema.domain))
        for task, found in self.labels.items():
            found.add(*rows.text(task.label_column))
        if self.targets:
            self._add_targets(rows)

    def merge(self, other: "Counts") -> "Counts":
        """Adds up the counts of both, of one schema."""
        both = Counts(self.schema, spill=self.spill)
        for name in PARTS:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(both, name, {key: mine[key].merge(theirs[key]) for key in mine})
        both.domains = self.domains.merge(other.domains)
        return both

    def settle(self) -> None:
        """Adds up what waits, before it is sent or kept."""
        for found in (self.domains, *self.values.values(), *self.labels.values()):
            found.settle()
        for sums in self.sums.values():
            sums.settle()

    def _add_targets(self, rows: Rows) -> None:
        """Counts labels that are numbers, each in its task's sample space."""
        labels, observed = read_labels(rows, self.schema)
        for t, task in enumerate(self.schema.tasks):
            if task.name in self.targets:
                seen = NumberCounts.of(labels[observed[:, t], t].astype(np.float64))
                self.targets[task.name] = self.targets[task.name].merge(seen)


def table_fields(schema: Schema) -> list[Field]:
    """The fields whose values are ids."""
    return [f for f in schema.fields if f.kind != "numeric"]


def codes_of(
    rows: Rows, field: Field
) -> tuple[np.ndarray | None, np.ndarray, pa.Array]:
    """Codes into distinct strings: of rows, or of items, whose rows come first."""
    if field.kind == "categorical":
        return None, *rows.text(field.name)
    return rows.lists(field.name, field.separator)
