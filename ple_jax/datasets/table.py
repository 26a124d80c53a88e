"""The user's own text or Parquet files, described by a schema."""

import pathlib
from collections.abc import Iterable
from functools import partial
from typing import Any

from ple_jax.data.file_ranges import file_ranges
from ple_jax.data.files import file_identity
from ple_jax.data.read import expand_patterns, read
from ple_jax.data.schema_file import read_schema
from ple_jax.data.source import Source
from ple_jax.schema import Schema


def build(schema: str, files: tuple[str, ...]) -> Source:
    """Reads one table from one or more files.

    Args:
        schema: A TOML file that describes the columns.
        files: Paths of files, or patterns with *: CSV, plain or compressed, or Parquet.
    """
    return source_of(files, read_schema(schema))


def source_of(files: Iterable[str | pathlib.Path], schema: Schema) -> Source:
    """The rows of files, described by a schema that is read already."""
    paths = expand_patterns(files)
    return Source(
        schema=schema,
        chunks=lambda: read(paths, schema),
        identity={"kind": "table", "files": [file_identity(path) for path in paths]},
        own=True,
        readers=partial(file_ranges, paths, schema),
    )


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "your own CSV or Parquet files, with a TOML schema",
        "source": "data.schema and data.files",
    }
