"""From raw rows to ids and numbers: what is fitted on train, and how it is applied."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ple_jax.data import labels as _labels
from ple_jax.data import numeric
from ple_jax.data.counts import NumberCounts, ValueCounts, merge_all
from ple_jax.data.examples import Examples
from ple_jax.data.numeric import NumericFit
from ple_jax.data.rows import Rows
from ple_jax.data.schema_file import schema_from_dict, schema_to_dict
from ple_jax.schema import Bag, Field, IdColumn, Layout, Schema

VOCABULARIES, ENCODER = "vocabularies", "encoder.json"


class Counts:
    """All that fitting needs to know of the train split; chunks add up."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self.values = {f.table or f.name: ValueCounts() for f in _with_table(schema)}
        self.numbers: dict[str, list[NumberCounts]] = {
            f.name: [] for f in schema.fields if f.kind == "numeric"
        }
        self.domains = ValueCounts()

    def add(self, rows: Rows) -> None:
        """Counts more rows of train."""
        for field in self.schema.fields:
            if field.kind == "numeric":
                counts = NumberCounts.of(rows.numbers(field.name))
                self.numbers[field.name] = [
                    merge_all([*self.numbers[field.name], counts])
                ]
            else:
                codes, values = _coded(rows, field)[-2:]
                self.values[field.table or field.name].add(codes, values)
        if self.schema.domain:
            self.domains.add(*rows.text(self.schema.domain))


def _with_table(schema: Schema) -> list[Field]:
    return [f for f in schema.fields if f.kind != "numeric"]


def _coded(rows: Rows, field: Field) -> tuple:
    """Codes and values, and for lists the row of each item before them."""
    if field.kind == "categorical":
        return rows.text(field.name)
    return rows.lists(field.name, field.separator)


@dataclasses.dataclass(frozen=True)
class Encoder:
    """What was fitted on train; encodes rows of any split, or without labels.

    Attributes:
        schema: What the columns mean.
        vocabularies: Table -> value, count, id; id 0 is unknown and not in it.
        numerics: Field -> its fitted encodings.
        domains: Names, in the order of the axis N.
    """

    schema: Schema
    vocabularies: Mapping[str, pa.Table]
    numerics: Mapping[str, NumericFit]
    domains: tuple[str, ...]

    @classmethod
    def fit(cls, counts: Counts) -> "Encoder":
        """Vocabularies and encodings from counts of the train split."""
        schema = counts.schema
        least = {f.name: f.min_count for f in schema.fields}
        fields = {f.name: f for f in schema.fields}
        domains = counts.domains.vocabulary()["value"].to_pylist()
        if schema.unseen_domain and schema.unseen_domain not in domains:
            raise ValueError(
                f"unseen_domain = {schema.unseen_domain!r} must be a domain in train: "
                f"{', '.join(domains)}."
            )
        return cls(
            schema,
            {t: c.vocabulary(least[t]) for t, c in counts.values.items()},
            {
                name: numeric.fit(fields[name], merge_all(parts))
                for name, parts in counts.numbers.items()
            },
            tuple(domains) if schema.domain else (_labels.ONE_DOMAIN,),
        )

    @property
    def layout(self) -> Layout:
        """What the encoded arrays hold."""
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

    def encode(self, rows: Rows, labels: bool = True) -> Examples:
        """Encoded rows, in order; without `labels` none is observed.

        Raises:
            ValueError: A value does not fit; the message names file, row and column.
        """
        ids, bags, numbers = [], {}, []
        for field in self.schema.fields:
            if field.kind == "numeric":
                x = rows.numbers(field.name)
                ids += self.numerics[field.name].ids(x)
                numbers += self.numerics[field.name].numbers(x)
            elif field.kind == "categorical":
                codes, values = rows.text(field.name)
                ids.append(self._ids(field, values)[codes])
            else:
                bags[field.name] = self._bag(rows, field)
        return Examples(
            ids=_columns(ids, len(rows), np.int32),
            bags=bags,
            numbers=_columns(numbers, len(rows), np.float32),
            domain=_labels.domains_of(rows, self.schema, self.domains),
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
        values, observed = _labels.labels(rows, self.schema)
        return {
            "labels": values,
            "observed": observed,
            "weights": _labels.weights_of(rows, self.schema),
            "user": _labels.users_of(rows, self.schema),
        }

    def _ids(self, field: Field, values: pa.Array) -> np.ndarray:  # (values,) int32
        """The id of each distinct value; 0 where it is unknown or missing."""
        known = self.vocabularies[field.table or field.name]["value"]
        index = pc.index_in(values, known.combine_chunks(), skip_nulls=True)
        return pc.fill_null(index, -1).to_numpy(zero_copy_only=False) + np.int32(1)

    def _bag(self, rows: Rows, field: Field) -> np.ndarray:  # (B, L) int32
        """The first ids of a multi-valued field, or the last of a sequence."""
        item_rows, codes, values = rows.lists(field.name, field.separator)
        lengths = np.bincount(item_rows, minlength=len(rows))
        place = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        if field.kind == "sequence":
            place -= np.repeat(np.maximum(lengths - field.max_length, 0), lengths)
        kept = (place >= 0) & (place < field.max_length)
        bag = np.full((len(rows), field.max_length), -1, np.int32)
        bag[item_rows[kept], place[kept]] = self._ids(field, values)[codes[kept]]
        return bag

    def save(self, directory: pathlib.Path) -> None:
        """Writes encoder.json, and vocabularies/ with a Parquet file a table."""
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
        (directory / ENCODER).write_text(json.dumps(fitted, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, directory: pathlib.Path) -> "Encoder":
        """The inverse of `save`."""
        fitted = json.loads((directory / ENCODER).read_text(encoding="utf-8"))
        vocabularies = {
            table: pq.read_table(
                directory / VOCABULARIES / f"{i}.parquet",
                page_checksum_verification=True,
            )
            for i, table in enumerate(fitted["vocabularies"])
        }
        numerics = map(NumericFit.from_dict, fitted["numerics"])
        return cls(
            schema_from_dict(fitted["schema"]),
            vocabularies,
            {fit.name: fit for fit in numerics},
            tuple(fitted["domains"]),
        )


def _columns(columns: list[np.ndarray], rows: int, dtype: type) -> np.ndarray:
    if not columns:
        return np.zeros((rows, 0), dtype)
    return np.stack(columns, axis=1).astype(dtype, copy=False)
