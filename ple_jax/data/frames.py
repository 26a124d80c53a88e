"""Rows that lie in memory: frames, Arrow tables and dicts of arrays, in and out.

pandas and polars are never imported here: an object of theirs brings them along.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from ple_jax.checks import check_known
from ple_jax.config.values import convert
from ple_jax.data import arrow
from ple_jax.data.derive import input_rows, rows_of
from ple_jax.data.encode import Encoder
from ple_jax.data.examples import Examples
from ple_jax.data.parquet_file import MOST_ROWS
from ple_jax.data.read import check_columns
from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk, Chunks, Source
from ple_jax.data.split import folds_of
from ple_jax.data.train_counts import Counts
from ple_jax.schema import Encoding, Field, OfNumbers, OfValues, Schema, Split, Task

ORIGIN = "the data"  # what errors name in place of a file
FROM_DTYPE = "from_dtype"


def table_of(data: Any) -> pa.Table:
    """Arrow's view of rows in memory, without a copy where their memory allows it.

    Args:
        data: A pandas or polars frame, an Arrow table, any other object with the Arrow
            PyCapsule interface (`__arrow_c_stream__`), or a dict of columns. The index
            of a pandas frame is no column.

    Raises:
        ValueError: It is none of these, a column mixes types, or columns differ in
            length.
    """
    if isinstance(data, Mapping):
        reading = lambda: pa.table({k: column_of(v) for k, v in data.items()})
    elif is_frame_of("pandas", data):
        reading = lambda: pa.Table.from_pandas(data, preserve_index=False)
    elif hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        reading = lambda: pa.table(data)
    else:
        raise ValueError(
            "Expected a pandas or polars frame, an Arrow table, an object with "
            f"`__arrow_c_stream__`, or a dict of columns, got {type(data).__name__}."
        )
    try:
        return reading()
    except (pa.ArrowException, TypeError) as error:
        raise ValueError(f"The columns are no table: {error}") from error


def column_of(values: Any) -> Any:
    """A column of a dict, as Arrow takes it."""
    is_stream = hasattr(values, "__arrow_c_stream__")
    return pa.chunked_array(values) if is_stream else values


def is_frame_of(library: str, data: Any) -> bool:
    """Whether `data` is a DataFrame of pandas or of polars."""
    module = sys.modules.get(library)
    return module is not None and isinstance(data, module.DataFrame)


def same_kind(table: pa.Table, like: Any) -> Any:
    """The table as a frame of the library of `like`, with its index; else as it is."""
    if is_frame_of("pandas", like):
        return table.to_pandas().set_axis(like.index)
    if is_frame_of("polars", like):
        return sys.modules["polars"].from_arrow(table)
    return table


def chunks_of(table: pa.Table) -> Chunks:
    """The rows in chunks of bounded size; nothing is copied."""
    for first in range(0, len(table), MOST_ROWS):
        yield Chunk(table.slice(first, MOST_ROWS), ORIGIN, first)


def source_of(table: pa.Table, schema: Schema) -> Source:
    """The rows of a table as the source of a data set.

    Raises:
        ValueError: It has no rows, or its columns do not fit the schema.
    """
    if not len(table):
        raise ValueError(f"{ORIGIN} has no rows.")
    check_columns(table.column_names, schema, True, pathlib.Path(ORIGIN))
    identity = {"kind": "rows in memory"}
    return Source(schema, lambda: chunks_of(table), identity, own=True)


def typed(values: np.ndarray) -> pa.Array:
    """A NumPy column with one type: objects that are not all alike become text."""
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())


def fields_of(
    table: pa.Table,
    categorical: str | Sequence[str | int],
    encodings: str | Sequence[str],
) -> tuple[Field, ...]:
    """One field a column: numeric if it holds numbers or times, or else categorical.

    Args:
        table: The inputs.
        categorical: Columns that are categorical, by name or number; "from_dtype" takes
            all that are neither numbers nor times.
        encodings: A field has those that its kind knows, or else `auto`.

    Raises:
        ValueError: `categorical` names no column, or a column holds lists.
    """
    if isinstance(categorical, str) and categorical != FROM_DTYPE:
        raise ValueError(
            f"Categorical columns must be {FROM_DTYPE!r} or a list of columns, got "
            f"{categorical!r}."
        )
    by_type = isinstance(categorical, str)
    number = dict[Any, str](enumerate(table.column_names))
    ids = [] if by_type else [number.get(c, str(c)) for c in categorical]
    for name in ids:
        check_known(name, table.column_names, "column (categorical)")
    named = [encodings] if isinstance(encodings, str) else list(encodings)
    chosen = convert(tuple[Encoding, ...], named, "encodings")
    of = lambda known: tuple(e for e in chosen if e in get_args(known)) or ("auto",)

    def field(column: pa.Field) -> Field:
        if not is_number(column) if by_type else column.name in ids:
            return Field(column.name, encodings=of(OfValues))
        return Field(column.name, "numeric", encodings=of(OfNumbers))

    return tuple(map(field, table.schema))


def is_number(column: pa.Field) -> bool:
    """Whether a column holds numbers or times, which are read as seconds.

    Raises:
        ValueError: It holds lists or structures.
    """
    kind = arrow.simple_type(column.type)
    if pa.types.is_nested(kind):
        raise ValueError(
            f"Column {column.name!r} is of type {kind}: expected numbers or text."
        )
    return arrow.is_number(kind) or pa.types.is_temporal(kind)


def with_labels(
    table: pa.Table,
    fields: tuple[Field, ...],
    tasks: Sequence[Task],
    labels: np.ndarray,
    weights: np.ndarray,
) -> tuple[pa.Table, Schema]:
    """The table with labels (B, T) and weights (B,), and the schema of all of it."""
    apart = max(table.column_names, key=len) + " "  # longer than any other name
    named = [dataclasses.replace(t, column=f"{apart}{t.name}") for t in tasks]
    for task, column in zip(named, labels.T, strict=True):
        table = table.append_column(task.label_column, pa.array(column.astype(float)))
    table = table.append_column(apart, pa.array(weights.astype(float)))
    return table, Schema(fields, tuple(named), weight=apart)


def fitted_encoder(schema: Schema, table: pa.Table, train: np.ndarray) -> Encoder:
    """An encoder that is fitted to the rows of a table where `train` (B,) is true."""
    counts = Counts(schema, scales=False)
    for rows in some_rows(table, schema, train):
        counts.add(rows, folds_of_rows(rows))
    return Encoder.fit(counts)


def encode_labelled(
    encoder: Encoder, table: pa.Table, kept: np.ndarray, is_train: bool
) -> Examples:
    """The rows of a table where `kept` (B,) is true, with their labels and weights."""
    rows = some_rows(table, encoder.schema, kept)
    folds = folds_of_rows if is_train else lambda rows: None
    return joined(encoder.encode(some, folds=folds(some)) for some in rows)


def some_rows(table: pa.Table, schema: Schema, kept: np.ndarray) -> Iterator[Rows]:
    """Those rows of each chunk where `kept` (B,) is true."""
    for chunk in chunks_of(table):
        mask = kept[chunk.first : chunk.first + len(chunk.table)]
        yield rows_of(chunk, schema).where(mask)


def folds_of_rows(rows: Rows) -> np.ndarray:  # (B,) int64
    """The folds of rows of train, by their numbers."""
    return folds_of(rows.row_numbers.astype(np.uint64), Split().seed)


def encode_table(encoder: Encoder, table: pa.Table) -> Examples:
    """The rows of a table, without labels."""
    chunks = (input_rows(chunk, encoder.schema) for chunk in chunks_of(table))
    return joined(encoder.encode(rows, labels=False) for rows in chunks)


def joined(parts: Iterable[Examples]) -> Examples:
    """All examples of at least one part, in order."""
    each = [part.arrays() for part in parts]
    return Examples.of({k: np.concatenate([a[k] for a in each]) for k in each[0]})
