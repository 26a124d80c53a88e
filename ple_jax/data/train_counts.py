"""The counts of the train split that an encoder is fitted to."""

import numpy as np
import pyarrow as pa

from ple_jax.data.auto import is_open
from ple_jax.data.counts import NumberCounts, ValueCounts, merge_all
from ple_jax.data.label_sums import Addends, LabelSums
from ple_jax.data.labels import read_labels
from ple_jax.data.rows import Rows
from ple_jax.schema import Field, Schema


class Counts:
    """The counts of the train split that fitting needs.

    `scales` says whether those of labels that are numbers are fitted too.
    """

    def __init__(self, schema: Schema, scales: bool = True):
        self.schema = schema
        self.values = {f.table or f.name: ValueCounts() for f in table_fields(schema)}
        self.numbers: dict[str, list[NumberCounts]] = {
            f.name: [] for f in schema.fields if f.kind == "numeric"
        }
        self.domains = ValueCounts()
        lists = [t for t in schema.tasks if isinstance(t.positive, tuple)]
        self.labels = {task: ValueCounts() for task in lists}
        numbers = [t.name for t in schema.tasks if scales and not t.is_binary]
        self.targets = {name: NumberCounts.of(np.zeros(0)) for name in numbers}
        self.sums = {
            f.name: LabelSums()
            for f in table_fields(schema)
            if "target_mean" in f.encodings or is_open(f)
        }

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
                counts = NumberCounts.of(rows.numbers(field.name))
                self.numbers[field.name] = [
                    merge_all([*self.numbers[field.name], counts])
                ]
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
