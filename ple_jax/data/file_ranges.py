"""Files cut into ranges of rows, which different processes can read."""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from ple_jax.data.derive import check_file_names
from ple_jax.data.file_kinds import is_parquet
from ple_jax.data.parquet_file import group_sizes
from ple_jax.data.read import (
    changed,
    chunks_of_file,
    file_stamp,
    number_rows,
    read_tables,
    readable,
)
from ple_jax.data.source import Chunks, Stamp
from ple_jax.schema import Schema

GRAIN = 1 << 20  # rows that a range has at least, if its file has as many


@dataclasses.dataclass(frozen=True)
class FileRange:
    """Rows of one file that lie one after another.

    Attributes:
        path: The file.
        schema: What its columns mean.
        stamp: Size and times of the file when it was cut.
        first: Number of the first row within the file, from 0.
        rows: How many there are; None for a text file, which is one range.
        groups: Row groups of a Parquet file; None for all of the file.
    """

    path: pathlib.Path
    schema: Schema
    stamp: Stamp
    first: int = 0
    rows: int | None = None
    groups: tuple[int, ...] | None = None

    def __call__(self) -> Chunks:
        """Reads the rows, from the start at each call.

        Raises:
            ValueError: The file has changed since it was cut, or it does not fit.
        """
        tables = read_tables(self.path, self.schema.format, self.groups)
        chunks = number_rows(tables, self.path, self.first)
        for chunk in chunks_of_file(chunks, self.path, self.schema):
            if chunk.stamp != self.stamp:
                raise ValueError(changed(self.path))
            yield chunk

    def count_rows(self) -> int:
        """How many there are; reads them if it must."""
        if self.rows is not None:
            return self.rows
        return sum(map(len, read_tables(self.path, self.schema.format)))


def file_ranges(paths: Iterable[pathlib.Path], schema: Schema) -> list[FileRange]:
    """Cuts files into ranges: Parquet between row groups, text not at all.

    Raises:
        ValueError: A file is not to be read.
    """
    paths = list(paths)
    check_file_names(paths, schema)
    found = []
    for path in paths:
        whole = FileRange(path, schema, file_stamp(path))
        with readable(path):
            sizes = group_sizes(path) if is_parquet(path) else []
        runs = list(_runs(sizes)) or [{}]
        found += [dataclasses.replace(whole, **run) for run in runs]
    return found


def _runs(sizes: list[int]) -> Iterator[dict[str, Any]]:
    """First row, rows and row groups of each range, from the sizes of all groups."""
    first, rows, start = 0, 0, 0
    for number, size in enumerate(sizes):
        rows += size
        is_last = number == len(sizes) - 1
        if rows >= GRAIN or (rows and is_last):
            groups = tuple(range(start, number + 1))
            yield {"first": first, "rows": rows, "groups": groups}
            first, rows, start = first + rows, 0, number + 1
