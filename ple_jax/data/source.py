"""What a data set plugin hands over: how its rows look, and how to read them."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from ple_jax.schema import Schema


class Chunk(NamedTuple):
    """Some raw rows, and where they came from."""

    table: pa.Table
    origin: str  # a file, say
    first: int = 0  # the number of the first row there, from 0


Chunks = Iterator[Chunk]


class Source(NamedTuple):
    """Raw rows with their meaning; `build` of every data set returns one."""

    schema: Schema
    chunks: Callable[[], Chunks]  # from the start, each time it is called
    identity: dict[str, Any]  # plain values that change whenever the rows would
    terms: str = ""  # what the data's owner asks of its users
