"""The user's own files: CSV, CSV.gz or Parquet, and a schema of what they hold."""

from typing import Any

from ple_jax.data.files import file_identity
from ple_jax.data.read import expand_patterns, read
from ple_jax.data.schema_file import read_schema
from ple_jax.data.source import Source


def build(schema: str, files: tuple[str, ...]) -> Source:
    """One table in one file or many.

    Args:
        schema: A TOML file that says what the columns mean.
        files: Paths, or patterns with *, of CSV, CSV.gz or Parquet files.
    """
    meaning, paths = read_schema(schema), expand_patterns(files)
    return Source(
        schema=meaning,
        chunks=lambda: read(paths, meaning),
        identity={"kind": "table", "files": [file_identity(path) for path in paths]},
    )


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows."""
    return {
        "summary": "your own CSV, CSV.gz or Parquet files, by a TOML schema",
        "rows": None,
        "tasks": {},
        "domains": {},
        "source": "data.schema and data.files",
        "terms": "",
    }
