"""Encodes raw rows as ids and numbers, with vocabularies and scales fitted on train."""

import dataclasses
import pathlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ple_jax.checks import listing, nearest
from ple_jax.data.auto import with_encodings
from ple_jax.data.categorical import (
    CategoricalFit,
    fit_categorical,
    has_ids,
    has_numbers,
)
from ple_jax.data.examples import Examples
from ple_jax.data.labels import (
    ONE_DOMAIN,
    check_positives,
    observe,
    read_domains,
    read_users,
    read_values,
    read_weights,
)
from ple_jax.data.numeric import NumericFit, fit_numeric
from ple_jax.data.oddities import Oddities, RowKey
from ple_jax.data.rows import Rows
from ple_jax.data.scales import fit_scale, plain, read_scale
from ple_jax.data.schema_file import schema_from_dict, schema_to_dict
from ple_jax.data.spill import Spill
from ple_jax.data.train_counts import Counts, codes_of
from ple_jax.data.unknown import UnknownIds
from ple_jax.data.vocabulary import Lookup, Saved, pool_rare, size_of
from ple_jax.disk import read_json, write_json
from ple_jax.layout import Bag, IdColumn, Layout, Scale
from ple_jax.schema import OWN, Field, Schema

VOCABULARIES, MEANS, ENCODER = "vocabularies", "target_means", "encoder.json"


@dataclasses.dataclass(frozen=True)
class Encoder:
    """Encodes rows of any split, with what was fitted on train.

    Attributes:
        schema: What the columns mean.
        vocabularies: Table -> value, count, id. Id 0 means unknown and is not listed.
        numerics: Field -> its fitted encodings.
        domains: Names of the domains, in the order of the axis N.
        categoricals: Field -> its numbers, for those that have some.
        scales: Task -> the scale of its labels, if these are numbers.
        spill: Where that of `lookups` goes which memory should not hold.
    """

    schema: Schema
    vocabularies: Mapping[str, pa.Table]
    numerics: Mapping[str, NumericFit]
    domains: tuple[str, ...]
    categoricals: Mapping[str, CategoricalFit] = dataclasses.field(default_factory=dict)
    scales: Mapping[str, Scale] = dataclasses.field(default_factory=dict)
    spill: Spill | None = None

    @classmethod
    def fit(cls, counts: Counts) -> "Encoder":
        """Fits vocabularies and encodings to the counts of the train split.

        Raises:
            ValueError: The train split has no example of `unseen_domain`, or of a value
                that a task lists as `positive`.
        """
        for task, found in counts.labels.items():
            check_positives(task, found.vocabulary()["value"].to_pylist())
        fields = {f.name: f for f in counts.schema.fields}
        domains = _domain_names(counts)
        whole = {t: c.vocabulary() for t, c in counts.values.items()}
        vocabularies = {
            t: pool_rare(v, fields[t].min_count, "rare" in fields[t].encodings)
            for t, v in whole.items()
        }
        schema = with_encodings(counts.schema, vocabularies)
        categoricals = {
            field.name: fit_categorical(
                field,
                schema,
                vocabularies[field.table or field.name],
                whole[field.table or field.name],
                counts.sums.get(field.name),
                domains,
                counts.spill,
            )
            for field in schema.fields
            if has_numbers(field)
        }
        numerics = {
            name: fit_numeric(fields[name], found)
            for name, found in counts.numbers.items()
        }
        names = tuple(domains) if schema.domain else (ONE_DOMAIN,)
        tasks = {task.name: task for task in schema.tasks}
        scales = {n: fit_scale(tasks[n], found) for n, found in counts.targets.items()}
        spill = counts.spill
        return cls(schema, vocabularies, numerics, names, categoricals, scales, spill)

    @property
    def layout(self) -> Layout:
        """Describes the encoded arrays."""
        ids, bags, numbers = [], [], []
        for field in self.schema.fields:
            if field.kind == "numeric":
                ids += self.numerics[field.name].id_columns(field.dim)
                numbers += self.numerics[field.name].number_columns()
                continue
            if field.name in self.categoricals:
                numbers += self.categoricals[field.name].number_columns()
            if not has_ids(field):
                continue
            table = field.table or field.name
            rows = size_of(self.vocabularies, table) + 1
            if field.kind == "categorical":
                ids.append(IdColumn(field.name, table, rows, field.dim))
            else:
                bags.append(Bag(field.name, table, rows, field.max_length, field.dim))
        tasks = self.schema.tasks
        scales = [self.scales.get(t.name, Scale()) for t in tasks if self.scales]
        columns = tuple(ids), tuple(bags), tuple(numbers)
        return Layout(*columns, tasks, self.domains, tuple(scales))

    def encode(
        self,
        rows: Rows,
        labels: bool = True,
        unknown: UnknownIds | None = None,
        folds: np.ndarray | None = None,
        odd: Oddities | None = None,
    ) -> Examples:
        """Encodes rows, in order.

        Args:
            rows: Rows of any split.
            labels: If false, no label is read, and none is observed.
            unknown: Counts the values that train does not have.
            folds: The fold of each row (B,), for rows of train that an encoder encodes
                before it is saved: `target_mean` then leaves their own labels out.
            odd: Counts what is odd about rows with labels.

        Raises:
            ValueError: A value does not fit the schema; names file, row and column.
        """
        ids, bags, numbers = [], {}, []
        unknown, key = unknown or UnknownIds(), RowKey(len(rows), odd)
        domain = read_domains(rows, self.schema, self.domains)
        for field in self.schema.fields:
            if field.kind == "numeric":
                x = rows.numbers(field.name)
                key.add(x)
                ids += self.numerics[field.name].ids(x)
                numbers += self.numerics[field.name].numbers(x)
                continue
            items, codes, values = codes_of(rows, field)
            lookup = self.lookups[field.table or field.name]
            key.add_texts(codes, values, items)
            of_value = lookup.ids(values)
            unknown.add(field.name, codes, values, of_value)
            found = lookup.pool(values, of_value)[codes]
            if field.name in self.categoricals:
                fit = self.categoricals[field.name]
                numbers += fit.numbers(found - np.int64(1), domain, folds, items)
            if has_ids(field) and items is not None:
                bags[field.name] = _bag(field, items, found, len(rows))
            elif has_ids(field):
                ids.append(found)
        key.add(domain)
        return Examples(
            ids=_stack_columns(ids, len(rows), np.int32),
            bags=bags,
            numbers=_stack_columns(numbers, len(rows), np.float32),
            domain=domain,
            **self._targets(rows, labels, key),
        )

    def _targets(self, rows: Rows, labels: bool, key: RowKey) -> dict[str, Any]:
        if not labels:
            shape = (len(rows), len(self.schema.tasks))
            return {
                "labels": np.zeros(shape, np.float32),
                "observed": np.zeros(shape, bool),
                "weights": np.ones(len(rows), np.float32),
            }
        values, user = read_values(rows, self.schema), read_users(rows, self.schema)
        key.finish(values, user, self.schema)
        of_tasks, observed = observe(values, self.schema)
        return {
            "labels": of_tasks,
            "observed": observed,
            "weights": read_weights(rows, self.schema),
            "user": user,
        }

    def without_folds(self) -> "Encoder":
        """The same, for rows of any split but train, as `save` keeps it."""
        kept = {
            name: dataclasses.replace(fit, folds=None)
            for name, fit in self.categoricals.items()
        }
        return dataclasses.replace(self, categoricals=kept)

    @cached_property
    def lookups(self) -> dict[str, Lookup]:
        """Table -> the ids of its values."""
        return {t: Lookup(v, self.spill) for t, v in self.vocabularies.items()}

    def index(self) -> None:
        """Builds all that finding ids needs, before the encoder is sent."""
        for lookup in self.lookups.values():
            lookup.index()
        for fit in self.categoricals.values():
            if fit.means:
                fit.means.index()

    def check_some_known(self, unknown: UnknownIds) -> None:
        """Raises a ValueError if all values of a field are unknown."""
        for field in self.schema.fields:
            if field.name in unknown.fields:
                lookup = self.lookups[field.table or field.name]
                unknown.check(field.name, lookup.known)

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
        if self.scales:
            fitted["scales"] = {n: plain(scale) for n, scale in self.scales.items()}
        if self.categoricals:
            fits = self.categoricals.values()
            fitted["categoricals"] = [fit.facts() for fit in fits]
            for i, fit in enumerate(fits):
                fit.save_means(directory / MEANS / f"{i}.parquet")
        write_json(directory / ENCODER, fitted)

    @classmethod
    def load(cls, directory: pathlib.Path) -> "Encoder":
        """Reads what `save` wrote.

        Raises:
            ValueError: A file is damaged; names it.
        """
        path = directory / ENCODER
        fitted = read_json(path)
        folder = lambda name, i: directory / name / f"{i}.parquet"
        try:
            schema = schema_from_dict(fitted["schema"])
            tables = enumerate(fitted["vocabularies"])
            vocabularies = Saved(
                {table: folder(VOCABULARIES, i) for i, table in tables}
            )
            numerics = [NumericFit.from_dict(facts) for facts in fitted["numerics"]]
            categoricals = [
                CategoricalFit.load(facts, schema, vocabularies, folder(MEANS, i))
                for i, facts in enumerate(fitted.get("categoricals", []))
            ]
            return cls(
                schema,
                vocabularies,
                {fit.name: fit for fit in numerics},
                tuple(fitted["domains"]),
                {fit.name: fit for fit in categoricals},
                {n: read_scale(s) for n, s in fitted.get("scales", {}).items()},
            )
        except (KeyError, TypeError, AttributeError, StopIteration) as error:
            raise ValueError(f"{path} is damaged: {error!r}.") from error


def _domain_names(counts: Counts) -> list[str]:
    """The domains of train, most frequent first, and the one of their own for others.

    Raises:
        ValueError: Train lacks the `unseen_domain`, or has a domain of the name "own".
    """
    names = counts.domains.vocabulary()["value"].to_pylist()
    wanted, column = counts.schema.unseen_domain, counts.schema.domain
    if wanted == OWN and OWN in names:
        raise ValueError(
            f"unseen_domain = {OWN!r} adds a domain of that name, but column "
            f"{column!r} has a domain {OWN!r} in train: call that one otherwise."
        )
    if wanted == OWN:
        return [*names, OWN]
    if wanted and wanted not in names:
        raise ValueError(
            f"unseen_domain must be {OWN!r} or a domain of the train split, got "
            f"{wanted!r}.{nearest(wanted, names)} Known: {listing(names, most=10)}."
        )
    return names


def _bag(
    field: Field, item_rows: np.ndarray, ids: np.ndarray, rows: int
) -> np.ndarray:  # (rows, L) int32
    """The first L ids of a multi-valued field, or the last L of a sequence."""
    lengths = np.bincount(item_rows, minlength=rows)
    place = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    if field.kind == "sequence":
        place -= np.repeat(np.maximum(lengths - field.max_length, 0), lengths)
    kept = (place >= 0) & (place < field.max_length)
    bag = np.full((rows, field.max_length), -1, np.int32)
    bag[item_rows[kept], place[kept]] = ids[kept]
    return bag


def _stack_columns(
    columns: list[np.ndarray], rows: int, dtype: type
) -> np.ndarray:  # (rows, columns)
    if not columns:
        return np.zeros((rows, 0), dtype)
    return np.stack(columns, axis=1).astype(dtype, copy=False)
