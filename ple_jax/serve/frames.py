"""Scores rows in memory with a run, as `files` does those of a file."""

import pathlib

import pyarrow as pa

from ple_jax.data.frames import ORIGIN, chunks_of
from ple_jax.data.read import check_columns
from ple_jax.runs.directory import Run
from ple_jax.serve.columns import NONE, Beside, Columns
from ple_jax.serve.files import Loaded, score_chunks


def predict_table(
    run: Run,
    loaded: Loaded,
    table: pa.Table,
    allow_unknown: bool = False,
    beside: Beside = NONE,
) -> pa.Table:
    """Scores the rows of a table: one float32 column a task, in their order.

    The table needs no labels, and may have other columns; `beside` says what else the
    result has. Says on stderr what share of the values of a field train does not have.

    Raises:
        ValueError: A row does not fit the schema, or all values of a field are unknown
            and `allow_unknown` is false.
    """
    check_columns(table.column_names, run.data.schema, False, pathlib.Path(ORIGIN))
    columns = Columns(run, beside, table.schema, ORIGIN)
    scored = score_chunks(loaded, chunks_of(table), columns, allow_unknown)
    return pa.concat_tables([columns.schema.empty_table(), *scored])
