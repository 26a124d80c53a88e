"""The raw rows of a source in memory, by split: what a data card is made of."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from ple_jax.data.derive import rows_of
from ple_jax.data.hashing import mix
from ple_jax.data.labels import read_labels
from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk, Chunks, Source
from ple_jax.data.split import assigner
from ple_jax.guess.columns import together
from ple_jax.schema import Field, Schema
from ple_jax.splits import SPLITS

DRAW = 0x53616D70  # sets the hash that draws rows apart from that for splits


@dataclasses.dataclass(frozen=True)
class RawField:
    """An input of some rows.

    Attributes:
        field: What it is.
        codes: Each row's value as a number (B,); of lists, each item's (items,).
        rows: The row of each code.
        values: How many values there are; the last code is that of missing ones.
        numbers: Each row's number (B,), NaN where missing; None unless it is numeric.
    """

    field: Field
    codes: np.ndarray
    rows: np.ndarray
    values: int
    numbers: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Raw:
    """Rows of a source.

    Attributes:
        schema: What they mean.
        split: Each row's split, as its number in SPLITS (B,).
        labels: (B, T) float32.
        observed: (B, T) bool.
        fields: The inputs, in order.
        domain: Each row's domain (B,) as its number in `domains`.
        domains: Their names.
    """

    schema: Schema
    split: np.ndarray
    labels: np.ndarray
    observed: np.ndarray
    fields: tuple[RawField, ...]
    domain: np.ndarray
    domains: tuple[str, ...]

    def rows_of(self, split: str) -> np.ndarray:  # (B,) bool
        """Which rows a split has."""
        return self.split == SPLITS.index(split)


def rows_in(source: Source) -> int:
    """How many rows a source has, by reading all of them."""
    return sum(len(chunk.table) for chunk in source.chunks())


def drawn(source: Source, most: int, rows: int) -> Source:
    """The source, or one of about `most` of its rows, drawn by a hash of their numbers.

    The numbers of rows in its errors are then those among the drawn ones.
    """
    if rows <= most:
        return source
    bound = np.uint64(most / rows * 2.0**64)
    identity = {**source.identity, "drawn": [most, rows]}
    some = _drawer(source.chunks, bound)
    return source._replace(chunks=some, identity=identity, readers=None)


def _drawer(chunks: Callable[[], Chunks], bound: np.uint64) -> Callable[[], Chunks]:
    def some() -> Iterator[Chunk]:
        first, kept = 0, 0
        for chunk in chunks():
            number = np.arange(first, first + len(chunk.table), dtype=np.uint64)
            table = chunk.table.take(np.flatnonzero(mix(number, DRAW) < bound))
            yield chunk._replace(table=table, first=kept)
            first, kept = first + len(number), kept + len(table)

    return some


def raw_of(source: Source) -> Raw:
    """Reads all rows of a source into memory."""
    schema, assign = source.schema, assigner(source)
    parts = [rows_of(chunk, schema) for chunk in source.chunks()]
    whole = together([part.table for part in parts])
    rows = Rows(Chunk(whole, parts[0].origin), schema.format)
    split, _ = assign(rows, 0)
    labels, observed = read_labels(rows, schema)
    there = [field for field in schema.fields if field.name in whole.column_names]
    fields = tuple(_field(rows, field) for field in there)
    return Raw(schema, split, labels, observed, fields, *_domains(rows, schema.domain))


def _domains(rows: Rows, column: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Each row's domain, and their names; a missing one is `None`."""
    if column is None or column not in rows.table.column_names:
        return np.zeros(len(rows), np.int64), ("all",)
    codes, names = rows.text(column)
    return codes, tuple(map(str, names.to_pylist()))


def _field(rows: Rows, field: Field) -> RawField:
    every = np.arange(len(rows))
    if field.kind == "numeric":
        numbers = rows.numbers(field.name)
        values, codes = np.unique(numbers, return_inverse=True)  # NaN comes last
        known = int(np.isfinite(values).sum())
        return RawField(field, np.minimum(codes, known), every, known, numbers)
    if field.kind == "categorical":
        codes, texts = rows.text(field.name)
        missing = np.array([t is None for t in texts.to_pylist()])
        return RawField(field, *_packed(codes, missing, every))
    of_row, codes, texts = rows.lists(field.name, field.separator)
    missing = np.array([t is None for t in texts.to_pylist()])
    return RawField(field, *_packed(codes, missing, of_row))


def _packed(
    codes: np.ndarray, missing: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Codes with missing values as the last one, their rows, and how many others."""
    known = int((~missing).sum())
    place = np.where(missing, known, np.cumsum(~missing) - 1)
    return place[codes], rows, known
