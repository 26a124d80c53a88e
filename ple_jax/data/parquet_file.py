"""Parquet files as tables, in pieces that a number of bytes bounds, not of rows.

A file of kilobytes can hold gigabytes, since a repeated value is stored once. Strings
stay codes into a dictionary, and a piece holds no more rows than fit when decoded. Only
what one row holds, and how lists are spread within a row group, is not known before.
"""

import pathlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ple_jax.data.arrow import is_list

MOST_BYTES = 256 << 20  # of a piece, decoded; but it has at least one row
MOST_ROWS = 1 << 18
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "BYTE_ARRAY": 4, "INT96": 12}


def parquet_tables(path: pathlib.Path) -> Iterator[pa.Table]:
    """Reads one Parquet file piece by piece; strings are dictionaries."""
    facts = pq.read_metadata(path)
    strings, groups = string_columns(facts), list(range(facts.num_row_groups))
    # Arrow can't join the dictionaries of two row groups below a list.
    apart = any(facts.schema.column(i).max_repetition_level for i in strings.values())
    with pq.ParquetFile(
        path, read_dictionary=list(strings), page_checksum_verification=True
    ) as file:
        for some in [[group] for group in groups] if apart else [groups]:
            for batch in file.iter_batches(most_rows(facts), row_groups=some):
                yield from cut(pa.Table.from_batches([batch]), MOST_BYTES)


def string_columns(facts: pq.FileMetaData) -> dict[str, int]:
    """Path -> number of each column of strings, those within lists too."""
    columns = [facts.schema.column(i) for i in range(facts.num_columns)]
    return {
        column.path: i
        for i, column in enumerate(columns)
        if column.physical_type == "BYTE_ARRAY"
        and column.logical_type.type != "DECIMAL"
    }


def most_rows(facts: pq.FileMetaData) -> int:
    """How many rows of a file take `MOST_BYTES`, while its strings stay codes."""
    groups = map(facts.row_group, range(facts.num_row_groups))
    heaviest = max((_bytes_per_row(group, facts) for group in groups), default=0.0)
    return int(np.clip(MOST_BYTES / max(heaviest, 1.0), 1, MOST_ROWS))


def _bytes_per_row(group: pq.RowGroupMetaData, facts: pq.FileMetaData) -> float:
    total = 0
    for i in range(group.num_columns):
        column, kind = group.column(i), facts.schema.column(i)
        width = max(kind.length, WIDTHS.get(kind.physical_type, 8))
        # Repeated values take less in the file than when they are read.
        total += max(column.total_uncompressed_size, column.num_values * width)
    return total / max(group.num_rows, 1)


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
    codes = column.indices.fill_null(len(lengths)).to_numpy()
    return np.r_[lengths, 0].astype(np.int64)[codes]
