"""What a data set plugin returns: what its rows mean, and how to read them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from ple_jax.schema import Schema

Stamp = tuple[int, int, int]  # size, mtime_ns and ctime_ns of a file


class Chunk(NamedTuple):
    """Some raw rows, and where they come from."""

    table: pa.Table
    origin: str  # what errors name, such as a file
    first: int = 0  # number of the first row within the origin, from 0
    stamp: Stamp | None = None  # of a file

    def with_columns(self, **columns: Any) -> "Chunk":
        """Adds columns: arrays of NumPy or Arrow, or one string for all rows."""
        table, rows = self.table, len(self.table)
        given = dict(zip(table.column_names, table.columns, strict=True))
        for name, values in columns.items():
            given[name] = pa.repeat(values, rows) if isinstance(values, str) else values
        return self._replace(table=pa.table(given))


Chunks = Iterator[Chunk]


class Reader(Protocol):
    """Reads some rows of a source, in order; any process can have it, as a pickle."""

    @property
    def rows(self) -> int | None:
        """How many; None if it takes reading them."""

    def __call__(self) -> Chunks:
        """Reads them, from the start at each call."""

    def count_rows(self) -> int:
        """How many there are."""


class Source(NamedTuple):
    """Raw rows and their meaning; `build` of every data set returns one."""

    schema: Schema
    chunks: Callable[[], Chunks]  # reads all rows, from the start at each call
    identity: dict[str, Any]  # plain values that change whenever the rows do
    terms: str = ""  # the owner's terms of use
    own: bool = False  # whether the user wrote the schema, so that slips are said
    # Cuts the rows for several processes, in order; None if only one can read them.
    readers: Callable[[], Sequence[Reader]] | None = None
