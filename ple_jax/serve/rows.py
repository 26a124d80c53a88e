"""Writes which rows of the raw files are in which split."""

import pathlib
import sys
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.csv

from ple_jax.data.row_index import COLUMNS, RowIndex
from ple_jax.data.store import Prepared
from ple_jax.serve.output import check_output, open_output


def write_rows(
    data: Prepared,
    split: str | None = None,
    out: pathlib.Path | None = None,
    overwrite: bool = False,
) -> int:
    """Writes file, row (from 1) and split of each row, in the order of the files.

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
    if out is None:
        sys.stdout.flush()
        with pyarrow.csv.CSVWriter(sys.stdout.buffer, COLUMNS) as writer:
            return _write(writer, index.tables(split))
    raw = {o.name for o in index.origins if pathlib.Path(o.name).is_file()}
    check_output(out, sorted(raw), overwrite)
    with open_output(out, COLUMNS, overwrite) as writer:
        return _write(writer, index.tables(split))


def _write(writer, tables: Iterable[pa.Table]) -> int:
    rows = 0
    for table in tables:
        writer.write_table(table)
        rows += len(table)
    return rows
