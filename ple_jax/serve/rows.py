"""Writes which rows of the raw files are in which split, with their keys."""

import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv

from ple_jax.checks import check_unique
from ple_jax.data.derive import rows_of
from ple_jax.data.read import read
from ple_jax.data.row_index import COLUMNS, RowIndex
from ple_jax.data.rows import Rows
from ple_jax.data.store import Prepared
from ple_jax.schema import Schema
from ple_jax.serve.output import check_output, open_output
from ple_jax.show import console
from ple_jax.splits import SPLITS


def write_rows(
    data: Prepared,
    split: str | None = None,
    out: pathlib.Path | None = None,
    overwrite: bool = False,
) -> int:
    """Writes file, row (from 1) and split of each row, in the order of the files.

    The columns that the schema names as `keys` follow, as text. They are read from the
    files; if one of these is gone or has changed, there are none, which is said.

    Args:
        data: The data set.
        split: The split whose rows to write; None writes those of all.
        out: A new .parquet or .csv file; None writes CSV to the standard output.
        overwrite: Whether `out` may replace a file.

    Returns:
        The number of rows.

    Raises:
        ValueError: The data set is older than indices of rows, or has no such split, or
            `out` is no place for rows.
        FileExistsError: `out` exists.
    """
    if split is not None:
        data.check_split(split)
    index = RowIndex.open(data)
    keys = _keys_known(data, index)
    tables = with_keys(index, data.schema, keys, split) if keys else index.tables(split)
    columns = pa.schema([*COLUMNS, *((key, pa.string()) for key in keys)])
    if out is None:
        sys.stdout.flush()
        with pyarrow.csv.CSVWriter(sys.stdout.buffer, columns) as writer:
            return _write(writer, tables)
    raw = {o.name for o in index.origins if pathlib.Path(o.name).is_file()}
    check_output(out, sorted(raw), overwrite)
    with open_output(out, columns, overwrite) as writer:
        return _write(writer, tables)


def _keys_known(data: Prepared, index: RowIndex) -> tuple[str, ...]:
    """The columns of keys; none if a file cannot tell them, which is said."""
    keys = data.schema.keys
    for name in [origin.name for origin in index.origins] if keys else ():
        path = pathlib.Path(name)
        if not path.is_file() or index.of_file(path) is None:
            console.say(f"note: {name} is gone or has changed: keys are not shown")
            return ()
    check_unique([*COLUMNS.names, *keys], "column of rows")
    return keys


def with_keys(
    index: RowIndex, schema: Schema, keys: Sequence[str], split: str | None
) -> Iterator[pa.Table]:
    """File, row, split and keys of all rows, or of those of one split, in order."""
    for origin in index.origins:
        splits = index.of_file(pathlib.Path(origin.name))
        assert splits is not None
        for chunk in read([origin.name], schema):
            rows, own = rows_of(chunk, schema, keys), splits[chunk.first :]
            kept = np.arange(len(rows))
            if split is not None:
                kept = np.flatnonzero(own[: len(rows)] == SPLITS.index(split))
            columns = {
                "file": pa.repeat(origin.name, len(kept)),
                "row": chunk.first + 1 + kept,
                "split": np.array(SPLITS)[own[kept]],
                **{key: _texts(rows, key).take(pa.array(kept)) for key in keys},
            }
            yield pa.table(columns)


def column_of_files(
    data: Prepared, split: str, name: str
) -> tuple[np.ndarray, list[str | None]]:
    """A column of the files of a data set, for the rows of a split in their order.

    It may be one that the schema ignores.

    Returns:
        Codes (B,) into distinct texts; None is a missing one.

    Raises:
        ValueError: The data set is not of files, or they are gone or have changed, or
            have no such column.
    """
    index = RowIndex.open(data)
    for origin in index.origins:
        path = pathlib.Path(origin.name)
        if not path.is_file() or index.of_file(path) is None:
            raise ValueError(
                f"{origin.name} is not a file as the data set was prepared from it."
            )
    tables = with_keys(index, data.schema, [name], split)
    parts = [table[name].cast(pa.large_string()) for table in tables]
    chunks = [chunk for part in parts for chunk in part.chunks]
    column = pa.chunked_array(chunks, pa.large_string()).combine_chunks()
    coded = column.dictionary_encode("encode")
    return coded.indices.to_numpy(), coded.dictionary.to_pylist()


def _texts(rows: Rows, name: str) -> pa.Array:  # (B,) strings
    codes, values = rows.text(name)
    return values.take(pa.array(codes))


def _write(writer, tables: Iterable[pa.Table]) -> int:
    rows = 0
    for table in tables:
        writer.write_table(table)
        rows += len(table)
    return rows
