"""Computes derived columns from raw ones, the same wherever rows are read."""

import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa

from ple_jax.data.clock import read_age, read_part
from ple_jax.data.hashed import read_cross, read_hash, read_ngrams
from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk
from ple_jax.derived import FILE, Derived, bucket_names, needed, uses_file
from ple_jax.schema import Schema

COMPRESSED = (".gz", ".bz2", ".lz4", ".zst", ".xz", ".zip", ".br", ".brotli", ".snappy")
ENDINGS = (*COMPRESSED, ".csv", ".tsv", ".txt", ".parquet", ".pq")
Read = Callable[[Rows, Derived], "pa.Array | np.ndarray"]


def rows_of(chunk: Chunk, schema: Schema, names: Iterable[str] | None = None) -> Rows:
    """The rows of a chunk, with those derived columns that `names` need.

    Args:
        chunk: Raw rows.
        schema: What they mean.
        names: Columns to be read; by default all that training needs.

    Raises:
        ValueError: A value does not fit, names file, row and column; or a column of the
            chunk has the name of a derived one.
    """
    rows = Rows(chunk, schema.format)
    wanted = schema.columns() if names is None else list(names)
    if uses_file(wanted, schema.derived):
        rows = _with_file(rows, chunk)
    for column in needed(wanted, schema.derived):
        if rows.has(column.name):
            raise ValueError(
                f"{rows.origin} has a column {column.name!r}, which the schema derives "
                "from others: rename one of them."
            )
        rows = rows.with_column(column.name, compute(rows, column))
    return rows


def input_rows(chunk: Chunk, schema: Schema) -> Rows:
    """The rows of a chunk with the columns that scoring needs; labels may lack."""
    return rows_of(chunk, schema, schema.columns(labels=False))


def compute(rows: Rows, column: Derived) -> pa.Array:  # (B,)
    """The values of a derived column, null where they are missing.

    Raises:
        ValueError: An input is not what this kind of column is computed from.
    """
    try:
        values = READ[column.kind](rows, column)
    except ValueError as error:
        raise ValueError(f"{error} Derived column {column.name!r} needs it.") from error
    if isinstance(values, pa.Array):
        return values
    numbers = np.where(np.isfinite(values), values, np.nan)
    return put_into_buckets(numbers, column) if column.edges else _array(numbers)


def put_into_buckets(x: np.ndarray, column: Derived) -> pa.Array:  # (B,)
    """The name of each number's bucket; an edge belongs to the bucket above it."""
    bucket = np.searchsorted(column.edges, x, "right").astype(np.int32)
    codes = pa.array(bucket, mask=np.isnan(x))
    return pa.DictionaryArray.from_arrays(codes, bucket_names(column.edges))


def _array(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers, mask=np.isnan(numbers))


def read_difference(rows: Rows, column: Derived) -> np.ndarray:  # (B,) float64
    """The first number less the second."""
    first, second = map(rows.numbers, column.of)
    with np.errstate(over="ignore"):
        return first - second


def read_ratio(rows: Rows, column: Derived) -> np.ndarray:  # (B,) float64
    """The first number by the second; not finite where the second is 0."""
    first, second = map(rows.numbers, column.of)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return first / second


def read_length(rows: Rows, column: Derived) -> np.ndarray:  # (B,) float64
    """How many items a list has, missing ones aside."""
    (name,) = column.of
    items, _, _ = rows.lists(name, column.separator)
    counts = np.bincount(items, minlength=len(rows))
    return np.where(rows.has_list(name), counts, np.nan)


def read_constant(rows: Rows, column: Derived) -> pa.Array:  # (B,) strings
    """The same value for all rows."""
    return _repeated(column.value, len(rows))


READ: dict[str, Read] = {
    **dict.fromkeys(("hour", "weekday", "day", "month"), read_part),
    "age": read_age,
    "difference": read_difference,
    "ratio": read_ratio,
    "length": read_length,
    "hash": read_hash,
    "cross": read_cross,
    "text": read_ngrams,
    "constant": read_constant,
}


def _repeated(value: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [value])


def _with_file(rows: Rows, chunk: Chunk) -> Rows:
    """The rows with the name of their file, unless they have such a column."""
    if rows.has(FILE):
        return rows
    if chunk.stamp is None:
        raise ValueError(
            f"{chunk.origin} has no file name, which the schema needs: give it a "
            f"column {FILE!r}."
        )
    return rows.with_column(FILE, _repeated(file_name(chunk.origin), len(rows)))


def file_name(path: str | pathlib.Path) -> str:
    """The name of a file without its folder and endings.

    Example:
        >>> file_name("logs/shop_a.csv.gz")
        'shop_a'
    """
    name = pathlib.Path(path).name
    while (ending := pathlib.PurePath(name).suffix) in ENDINGS:
        name = name.removesuffix(ending)
    return name


def check_file_names(paths: Sequence[pathlib.Path], schema: Schema) -> None:
    """Raises a ValueError if two files have one name, and the schema needs names."""
    if not uses_file(schema.columns(), schema.derived):
        return
    found: dict[str, pathlib.Path] = {}
    for path in paths:
        if (other := found.setdefault(file_name(path), path)) != path:
            raise ValueError(
                f"{other} and {path} have the same {FILE!r}, {file_name(path)!r}: "
                "rename one of them."
            )
