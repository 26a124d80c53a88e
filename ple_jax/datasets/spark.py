"""A table that Apache Spark reads: of its catalog, or in Delta, Iceberg, Hive folders.

Spark writes the rows once, as Parquet files, to a folder that the user names, and that
is prepared, by any engine. So rows have an order, and each pass reads the same ones.
"""

import pathlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from ple_jax.data.read import check_columns, needed_columns
from ple_jax.data.schema_file import read_schema
from ple_jax.data.source import Source
from ple_jax.datasets.table import source_of
from ple_jax.disk import new_directory
from ple_jax.engines.spark import write_rows
from ple_jax.schema import Schema


def build(schema: str, table: str, snapshot: str, format: str = "table") -> Source:
    """Reads one table, by a folder that Spark writes its rows to.

    Args:
        schema: A TOML file that describes the columns.
        table: A table of Spark's catalog, such as "shop.clicks"; or the path of one.
        snapshot: The folder of its rows. Spark writes it if it is not there; what is
            there is read, whatever the table is now. All processes must reach it.
        format: "table" for the catalog; or what Spark calls that of the path, such as
            "parquet", "orc", "delta" or "iceberg".
    """
    described, folder = read_schema(schema), pathlib.Path(snapshot).expanduser()
    if not folder.exists():
        columns = partial(columns_of, described, table)
        with new_directory(folder) as whole:
            write_rows(table, format, columns, whole)
    return source_of([folder], described)


def columns_of(schema: Schema, table: str, names: Sequence[str]) -> list[str]:
    """The columns of a table that a schema names; they must fit it."""
    check_columns(names, schema, True, pathlib.Path(table))
    named = {*needed_columns(schema), *schema.ignored, *schema.leaking}
    return [name for name in names if name in named]


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "a table that Apache Spark reads, with a TOML schema",
        "source": "data.schema, data.table and data.snapshot",
    }
