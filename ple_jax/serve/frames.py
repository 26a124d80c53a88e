"""Scores rows in memory with a run, as `files` does those of a file."""

import pathlib

import numpy as np
import pyarrow as pa

from ple_jax.data.frames import ORIGIN, chunks_of
from ple_jax.data.loader import batches_in_order
from ple_jax.data.read import check_columns
from ple_jax.data.rows import Rows
from ple_jax.data.unknown import UnknownIds
from ple_jax.runs.directory import Run
from ple_jax.serve.files import check_finite, predictions
from ple_jax.show import console
from ple_jax.train.evaluate import Scorer
from ple_jax.types import PyTree


def predict_table(
    run: Run,
    scorer: Scorer,
    variables: PyTree,
    table: pa.Table,
    allow_unknown: bool = False,
) -> pa.Table:
    """Scores the rows of a table: one float32 column a task, in their order.

    The table needs no labels. Says on stderr what share of the values of a field train
    does not have.

    Args:
        run: Whose schema and vocabularies encode the rows.
        scorer: The run's, with its `variables`, from `load_scorer`.
        variables: Those of its best checkpoint.
        table: Rows with the columns of the inputs; others do not matter.
        allow_unknown: Whether all values of a field may be unknown.

    Raises:
        ValueError: A row does not fit the schema, or all values of a field are unknown
            and `allow_unknown` is false.
    """
    tasks, encoder, unknown = run.data.layout.tasks, run.data.encoder, UnknownIds()
    check_columns(table.column_names, run.data.schema, False, pathlib.Path(ORIGIN))
    parts = [np.zeros((0, len(tasks)), np.float32)]
    for chunk in chunks_of(table):
        rows = Rows(chunk, run.data.schema.format)
        examples = encoder.encode(rows, False, unknown)
        batches = batches_in_order(examples, scorer.batch_size)
        parts.append(scorer.logits(variables, batches))
        check_finite(parts[-1], chunk.first)
    if not allow_unknown:
        encoder.check_some_known(unknown)
    for line in unknown.lines():
        console.say(line)
    logits = np.concatenate(parts)
    columns = [predictions(logits[:, i], task) for i, task in enumerate(tasks)]
    return pa.table(dict(zip([t.name for t in tasks], columns, strict=True)))
