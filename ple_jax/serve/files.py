"""Scores a file of raw columns with a run: one prediction per task and row."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from ple_jax.data.derive import input_rows
from ple_jax.data.encode import Encoder
from ple_jax.data.examples import Examples
from ple_jax.data.loader import batches_in_order
from ple_jax.data.read import read
from ple_jax.data.source import Chunk, Chunks
from ple_jax.data.unknown import UnknownIds
from ple_jax.metrics.exact import check_logits, sigmoid
from ple_jax.runs.directory import Run
from ple_jax.schema import Task
from ple_jax.serve.columns import NONE, Beside, Columns
from ple_jax.serve.output import check_output, open_output
from ple_jax.show import console
from ple_jax.train import recalibrate
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.evaluate import Scorer
from ple_jax.train.feed import ahead
from ple_jax.train.setup import Setup, shapes
from ple_jax.train.state import variables_of
from ple_jax.types import PyTree

Loaded: TypeAlias = tuple[Scorer, PyTree]  # and the variables that it scores with


def load_scorer(run: Run) -> Loaded:
    """Builds a run's scorer, and restores the variables of its best checkpoint.

    It recalibrates if the run does (`train.recalibrate`).

    Raises:
        ValueError: The run has no checkpoint yet.
    """
    setup = Setup([run.experiment], run.data)
    like = shapes(setup.trainer, setup.mesh)
    with Checkpoints(run.checkpoints, True, setup.rows) as checkpoints:
        if checkpoints.latest is None:
            raise ValueError(f"{run.directory} has no checkpoint yet: train it first.")
        variables = checkpoints.restore_variables(variables_of(like))
    corrected = recalibrate.of_runs([run])
    return dataclasses.replace(setup.scorer, recalibration=corrected), variables


def predict_file(
    run: Run,
    source: str,
    out: pathlib.Path,
    overwrite: bool = False,
    allow_unknown: bool = False,
    beside: Beside = NONE,
    load: Callable[[], Loaded] | None = None,
) -> int:
    """Scores the rows of `source` and writes one column per task, as `out` ends.

    `source` needs no labels. The file `out` appears when it is complete; an existing
    one is replaced only if `overwrite` is true. Says on stderr what share of the values
    of a field train does not have.

    Args:
        run: Whose schema reads the rows.
        source: A file, or a pattern with *.
        out: The file to write.
        overwrite: Whether it may replace another.
        allow_unknown: Whether all values of a field may be unknown.
        beside: Other columns to write.
        load: Gives what scores; by default the run's best checkpoint.

    Returns:
        The number of rows.

    Raises:
        ValueError: A row does not fit the schema, `out` is no place for scores, or all
            values of a field are unknown and `allow_unknown` is false.
        FileExistsError: `out` exists.
    """
    check_output(out, [source], overwrite)
    chunks = read([source], run.data.schema, labels=False)
    first, rows = next(chunks), 0
    columns = Columns(run, beside, first.table.schema, first.origin)
    loaded = load() if load else load_scorer(run)
    scored = score_chunks(loaded, chain([first], chunks), columns, allow_unknown)
    with open_output(out, columns.schema, overwrite) as writer:
        for table in scored:
            writer.write_table(table)
            rows += len(table)
    return rows


def score_chunks(
    loaded: Loaded, chunks: Chunks, columns: Columns, allow_unknown: bool = False
) -> Iterator[pa.Table]:
    """Scores raw rows chunk by chunk; afterwards says what values train does not have.

    Args:
        loaded: The scorer and its variables, such as from `load_scorer`.
        chunks: Raw rows.
        columns: The columns to make, and the run whose vocabularies encode the rows.
        allow_unknown: Whether all values of a field may be unknown.

    Raises:
        ValueError: A row does not fit the schema, a score is not finite, or all values
            of a field are unknown and `allow_unknown` is false.
    """
    (scorer, variables), rows, unknown = loaded, 0, UnknownIds()
    encoder = columns.run.data.encoder
    for chunk, examples in ahead(encoded(chunks, encoder, unknown)):
        batches = batches_in_order(examples, scorer.batch_size)
        logits = scorer.logits(variables, batches)
        check_logits(logits, rows + 1)
        pairs = zip(logits.T, columns.tasks, strict=True)
        scores = [predictions(of_task, task) for of_task, task in pairs]
        yield columns.table(chunk, examples.domain, scores)
        rows += len(logits)
    check_unknown(columns.run, unknown, allow_unknown)


def check_unknown(run: Run, unknown: UnknownIds, allowed: bool) -> None:
    """Says what values train does not have; raises if that is all of a field's."""
    if not allowed:
        run.data.encoder.check_some_known(unknown)
    for line in unknown.lines(run.data.schema.unknown_warning):
        console.say(line)


def encoded(
    chunks: Chunks, encoder: Encoder, unknown: UnknownIds | None = None
) -> Iterator[tuple[Chunk, Examples]]:
    """Encodes raw rows chunk by chunk, without labels; counts unknown ids."""
    for chunk in chunks:
        rows = input_rows(chunk, encoder.schema)
        yield chunk, encoder.encode(rows, False, unknown)


def predictions(logits: np.ndarray, task: Task) -> np.ndarray:  # (rows,) float32
    """Probabilities from logits (rows,); numbers are what a scorer gives already."""
    return sigmoid(logits) if task.is_binary else logits
