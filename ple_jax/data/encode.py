"""Encodes raw rows as ids and numbers, with vocabularies and scales fitted on train."""

import dataclasses
import pathlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ple_jax.checks import nearest
from ple_jax.data.arrow import plain_spelling
from ple_jax.data.counts import NumberCounts, ValueCounts, merge_all
from ple_jax.data.examples import Examples
from ple_jax.data.labels import (
    ONE_DOMAIN,
    check_positives,
    read_domains,
    read_labels,
    read_users,
    read_weights,
)
from ple_jax.data.numeric import NumericFit, fit_numeric
from ple_jax.data.rows import Rows
from ple_jax.data.schema_file import schema_from_dict, schema_to_dict
from ple_jax.data.unknown import UnknownIds
from ple_jax.disk import read_json, write_json
from ple_jax.schema import Bag, Field, IdColumn, Layout, Schema

VOCABULARIES, ENCODER = "vocabularies", "encoder.json"


class Counts:
    """The counts of the train split that fitting needs."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self.values = {f.table or f.name: ValueCounts() for f in _table_fields(schema)}
        self.numbers: dict[str, list[NumberCounts]] = {
            f.name: [] for f in schema.fields if f.kind == "numeric"
        }
        self.domains = ValueCounts()
        lists = [t for t in schema.tasks if isinstance(t.positive, tuple)]
        self.labels = {task: ValueCounts() for task in lists}

    def add(self, rows: Rows) -> None:
        """Counts more rows of the train split."""
        for field in self.schema.fields:
            if field.kind == "numeric":
                counts = NumberCounts.of(rows.numbers(field.name))
                self.numbers[field.name] = [
                    merge_all([*self.numbers[field.name], counts])
                ]
            else:
                codes, values = _codes(rows, field)[-2:]
                self.values[field.table or field.name].add(codes, values)
        if self.schema.domain:
            self.domains.add(*rows.text(self.schema.domain))
        for task, found in self.labels.items():
            found.add(*rows.text(task.label_column))


def _table_fields(schema: Schema) -> list[Field]:
    return [f for f in schema.fields if f.kind != "numeric"]


def _codes(rows: Rows, field: Field) -> tuple:
    """Codes and distinct values, after the row of each item for a column of lists."""
    if field.kind == "categorical":
        return rows.text(field.name)
    return rows.lists(field.name, field.separator)


@dataclasses.dataclass(frozen=True)
class Encoder:
    """Encodes rows of any split, with what was fitted on train.

    Attributes:
        schema: What the columns mean.
        vocabularies: Table -> value, count, id. Id 0 means unknown and is not listed.
        numerics: Field -> its fitted encodings.
        domains: Names of the domains, in the order of the axis N.
    """

    schema: Schema
    vocabularies: Mapping[str, pa.Table]
    numerics: Mapping[str, NumericFit]
    domains: tuple[str, ...]

    @classmethod
    def fit(cls, counts: Counts) -> "Encoder":
        """Fits vocabularies and encodings to the counts of the train split.

        Raises:
            ValueError: The train split has no example of `unseen_domain`, or of a value
                that a task lists as `positive`.
        """
        schema = counts.schema
        for task, found in counts.labels.items():
            check_positives(task, found.vocabulary()["value"].to_pylist())
        least = {f.name: f.min_count for f in schema.fields}
        fields = {f.name: f for f in schema.fields}
        domains = counts.domains.vocabulary()["value"].to_pylist()
        if schema.unseen_domain and schema.unseen_domain not in domains:
            raise ValueError(
                f"unseen_domain must be a domain of the train split, got "
                f"{schema.unseen_domain!r}.{nearest(schema.unseen_domain, domains)} "
                f"Known: {', '.join(domains)}."
            )
        return cls(
            schema,
            {t: c.vocabulary(least[t]) for t, c in counts.values.items()},
            {
                name: fit_numeric(fields[name], merge_all(parts))
                for name, parts in counts.numbers.items()
            },
            tuple(domains) if schema.domain else (ONE_DOMAIN,),
        )

    @property
    def layout(self) -> Layout:
        """Describes the encoded arrays."""
        ids, bags, numbers = [], [], []
        for field in self.schema.fields:
            if field.kind == "numeric":
                ids += self.numerics[field.name].id_columns(field.dim)
                numbers += self.numerics[field.name].number_columns()
                continue
            table = field.table or field.name
            rows = len(self.vocabularies[table]) + 1
            if field.kind == "categorical":
                ids.append(IdColumn(field.name, table, rows, field.dim))
            else:
                bags.append(Bag(field.name, table, rows, field.max_length, field.dim))
        return Layout(
            tuple(ids), tuple(bags), tuple(numbers), self.schema.tasks, self.domains
        )

    def encode(
        self, rows: Rows, labels: bool = True, unknown: UnknownIds | None = None
    ) -> Examples:
        """Encodes rows, in order.

        Args:
            rows: Rows of any split.
            labels: If false, no label is read, and none is observed.
            unknown: Counts the values that train does not have.

        Raises:
            ValueError: A value does not fit the schema; names file, row and column.
        """
        ids, bags, numbers = [], {}, []
        unknown = unknown or UnknownIds()
        for field in self.schema.fields:
            if field.kind == "numeric":
                x = rows.numbers(field.name)
                ids += self.numerics[field.name].ids(x)
                numbers += self.numerics[field.name].numbers(x)
            elif field.kind == "categorical":
                codes, values = rows.text(field.name)
                of_value = self._ids(field, values)
                unknown.add(field.name, codes, values, of_value)
                ids.append(of_value[codes])
            else:
                bags[field.name] = self._bag(rows, field, unknown)
        return Examples(
            ids=_stack_columns(ids, len(rows), np.int32),
            bags=bags,
            numbers=_stack_columns(numbers, len(rows), np.float32),
            domain=read_domains(rows, self.schema, self.domains),
            **self._targets(rows, labels),
        )

    def _targets(self, rows: Rows, labels: bool) -> dict[str, Any]:
        if not labels:
            shape = (len(rows), len(self.schema.tasks))
            return {
                "labels": np.zeros(shape, np.float32),
                "observed": np.zeros(shape, bool),
                "weights": np.ones(len(rows), np.float32),
            }
        values, observed = read_labels(rows, self.schema)
        return {
            "labels": values,
            "observed": observed,
            "weights": read_weights(rows, self.schema),
            "user": read_users(rows, self.schema),
        }

    def _ids(self, field: Field, values: pa.Array) -> np.ndarray:  # (values,) int32
        """The id of each distinct value; 0 if it is unknown or missing.

        A number, time or truth value that is written in another way than in train is
        found by its value.
        """
        table = field.table or field.name
        known = self._known[table]
        index = pc.index_in(values, known, skip_nulls=True)
        if index.null_count > values.null_count:
            lost = pc.and_(pc.is_null(index), pc.is_valid(values))
            if table not in self._plain:
                self._plain[table] = plain_spelling(known)
            again = plain_spelling(values.filter(lost))
            found = pc.index_in(again, self._plain[table], skip_nulls=True)
            index = pc.replace_with_mask(index, lost, found)
        return pc.fill_null(index, -1).to_numpy(zero_copy_only=False) + np.int32(1)

    @cached_property
    def _known(self) -> dict[str, pa.Array]:
        """Table -> its values as train has them."""
        columns = {t: v["value"] for t, v in self.vocabularies.items()}
        return {t: column.combine_chunks() for t, column in columns.items()}

    @cached_property
    def _plain(self) -> dict[str, pa.Array]:
        """Table -> its values in their plain spelling, once a lookup needs them."""
        return {}

    def _bag(
        self, rows: Rows, field: Field, unknown: UnknownIds
    ) -> np.ndarray:  # (B, L) int32
        """The first L ids of a multi-valued field, or the last L of a sequence."""
        item_rows, codes, values = rows.lists(field.name, field.separator)
        lengths = np.bincount(item_rows, minlength=len(rows))
        place = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        if field.kind == "sequence":
            place -= np.repeat(np.maximum(lengths - field.max_length, 0), lengths)
        kept = (place >= 0) & (place < field.max_length)
        bag = np.full((len(rows), field.max_length), -1, np.int32)
        ids = self._ids(field, values)
        unknown.add(field.name, codes, values, ids)
        bag[item_rows[kept], place[kept]] = ids[codes[kept]]
        return bag

    def check_some_known(self, unknown: UnknownIds) -> None:
        """Raises a ValueError if all values of a field are unknown."""
        for field in self.schema.fields:
            if field.name in unknown.fields:
                unknown.check(field.name, self._known[field.table or field.name])

    def save(self, directory: pathlib.Path) -> None:
        """Writes encoder.json, and one Parquet file per table into vocabularies/."""
        (directory / VOCABULARIES).mkdir(parents=True)
        for i, table in enumerate(self.vocabularies.values()):
            path = directory / VOCABULARIES / f"{i}.parquet"
            pq.write_table(table, path, write_page_checksum=True)
        fitted = {
            "schema": schema_to_dict(self.schema),
            "domains": self.domains,
            "vocabularies": list(self.vocabularies),
            "numerics": [fit.to_dict() for fit in self.numerics.values()],
        }
        write_json(directory / ENCODER, fitted)

    @classmethod
    def load(cls, directory: pathlib.Path) -> "Encoder":
        """Reads what `save` wrote.

        Raises:
            ValueError: A file is damaged; names it.
        """
        path = directory / ENCODER
        fitted = read_json(path)
        try:
            numerics = map(NumericFit.from_dict, fitted["numerics"])
            return cls(
                schema_from_dict(fitted["schema"]),
                {
                    table: _read_vocabulary(directory / VOCABULARIES / f"{i}.parquet")
                    for i, table in enumerate(fitted["vocabularies"])
                },
                {fit.name: fit for fit in numerics},
                tuple(fitted["domains"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: {error!r}.") from error


def _read_vocabulary(path: pathlib.Path) -> pa.Table:
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if table.column_names != ["value", "count", "id"]:
        raise ValueError(
            f"{path} is damaged: it has the columns {table.column_names}, expected "
            "value, count and id."
        )
    return table


def _stack_columns(
    columns: list[np.ndarray], rows: int, dtype: type
) -> np.ndarray:  # (rows, columns)
    if not columns:
        return np.zeros((rows, 0), dtype)
    return np.stack(columns, axis=1).astype(dtype, copy=False)
