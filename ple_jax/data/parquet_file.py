"""Parquet files as tables, in pieces that a number of bytes bounds, not of rows.

A file of kilobytes can hold gigabytes, since a repeated value is stored once. Strings
stay codes into a dictionary, and a piece holds no more rows than fit when decoded. Only
what one row holds, and lists that grow within a row group, are not known before.
"""

import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ple_jax.data.arrow import is_list

MOST_BYTES = 256 << 20  # of a piece, decoded; but it has at least one row
MOST_ROWS = 1 << 18
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "BYTE_ARRAY": 4, "INT96": 12}


def parquet_tables(
    path: pathlib.Path, groups: Sequence[int] | None = None
) -> Iterator[pa.Table]:
    """Reads one Parquet file, or some row groups, piece by piece.

    Strings are dictionaries.
    """
    columns = _columns(pq.read_metadata(path))
    strings = [column for column in columns if _is_string(column)]
    with pq.ParquetFile(
        path,
        read_dictionary=[column.path for column in strings],
        page_checksum_verification=True,
    ) as file:
        rows = most_rows(file)
        groups = range(file.num_row_groups) if groups is None else groups
        # Arrow can't join the dictionaries of two row groups below a list.
        apart = any(column.max_repetition_level for column in strings)
        for some in [[group] for group in groups] if apart else [list(groups)]:
            for batch in file.iter_batches(rows, row_groups=some):
                yield from cut(pa.Table.from_batches([batch]), MOST_BYTES)


def _columns(facts: pq.FileMetaData) -> list[pq.ColumnSchema]:
    """The columns below all lists and structures."""
    return [facts.schema.column(i) for i in range(facts.num_columns)]


def group_sizes(path: pathlib.Path) -> list[int]:
    """The rows of each row group."""
    facts = pq.read_metadata(path)
    return [facts.row_group(i).num_rows for i in range(facts.num_row_groups)]


def _is_string(column: pq.ColumnSchema) -> bool:
    is_bytes = column.physical_type == "BYTE_ARRAY"
    return is_bytes and column.logical_type.type != "DECIMAL"


def most_rows(file: pq.ParquetFile) -> int:
    """How many rows of a file take `MOST_BYTES`, while its strings stay codes.

    A repeated value takes less in the file than when it is read. So a row has the width
    of its columns, what its lists take at the start of the row group, and on average
    what is stored.
    """
    columns, heaviest = _columns(file.metadata), 0.0
    lists = [column.path for column in columns if column.max_repetition_level]
    flat = sum(
        max(column.length, WIDTHS.get(column.physical_type, 8))
        for column in columns
        if not column.max_repetition_level
    )
    # Not what is stored of each column: Arrow ends the process if that is damaged.
    for i in range(file.num_row_groups):
        group = file.metadata.row_group(i)
        stored = group.total_byte_size / max(group.num_rows, 1)
        listed = _measure_lists(file, i, lists) if lists else 0.0
        heaviest = max(heaviest, flat + listed, stored)
    return int(np.clip(MOST_BYTES / max(heaviest, 1.0), 1, MOST_ROWS))


def _measure_lists(file: pq.ParquetFile, group: int, lists: list[str]) -> float:
    """The bytes a row that these columns take, at the start of a row group."""
    size = 0.0
    for rows in (1, 32, 1024):
        if rows * size < MOST_BYTES:
            for batch in file.iter_batches(rows, row_groups=[group], columns=lists):
                size = batch.nbytes / max(len(batch), 1)
                break
    return size


def cut(table: pa.Table, most: int) -> Iterator[pa.Table]:
    """Cuts a table into pieces of at most so many decoded bytes, or of one row."""
    sizes = sum(map(decoded_bytes, table.columns), np.zeros(len(table), np.int64))
    ends = np.cumsum(sizes)
    start = 0
    while start < len(table):
        used = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, used + most, "right")), start + 1)
        yield table.slice(start, end - start)
        start = end


def decoded_bytes(column: pa.ChunkedArray) -> np.ndarray:  # (rows,) int64
    """The bytes of strings in each row of a column of dictionaries, or of their lists.

    Other columns count 0: `most_rows` has bounded them already.
    """
    parts = [_string_bytes(chunk) for chunk in column.chunks]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _string_bytes(column: pa.Array) -> np.ndarray:  # (rows,) int64
    if is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        items = np.r_[0, np.cumsum(_string_bytes(pc.list_flatten(column)))]
        ends = np.cumsum(lengths)
        return items[ends] - items[ends - lengths]
    if not pa.types.is_dictionary(column.type):
        return np.zeros(len(column), np.int64)
    lengths = pc.binary_length(column.dictionary).fill_null(0).to_numpy()
    low, high = pc.min_max(column.indices).as_py().values()
    if low is not None and not 0 <= low <= high < len(lengths):  # Arrow doesn't look
        raise ValueError("it is damaged: a code is beyond its dictionary")
    codes = column.indices.fill_null(len(lengths)).to_numpy()
    return np.r_[lengths, 0].astype(np.int64)[codes]
