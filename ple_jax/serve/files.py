"""Scores a file of raw columns with a run: one probability a task, in file order."""

import pathlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ple_jax.data.encode import Encoder
from ple_jax.data.examples import Examples
from ple_jax.data.loader import in_order
from ple_jax.data.read import read
from ple_jax.data.rows import Rows
from ple_jax.disk import replace_file
from ple_jax.runs.directory import Run
from ple_jax.schema import Task
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.evaluate import Scorer
from ple_jax.train.feed import ahead
from ple_jax.train.setup import Setup, shapes
from ple_jax.train.state import variables_of
from ple_jax.types import PyTree


def load(run: Run) -> tuple[Scorer, PyTree]:
    """A scorer and the variables of the run's best checkpoint.

    Raises:
        ValueError: The run has no checkpoint yet.
    """
    setup = Setup([run.experiment], run.data)
    like = shapes(setup.trainer, setup.mesh)
    with Checkpoints(run.checkpoints) as checkpoints:
        if checkpoints.latest is None:
            raise ValueError(f"{run.directory} has no checkpoint yet: train it first.")
        return setup.scorer, checkpoints.restore_variables(variables_of(like))


def predict_file(run: Run, source: str, out: pathlib.Path) -> int:
    """Writes one Parquet column a task, in the order of `source`; returns the rows.

    Labels are not needed. The file appears when it is whole.
    """
    scorer, variables = load(run)
    tasks, encoder = run.data.layout.tasks, run.data.encoder
    kind = pa.schema([(task.name, pa.float32()) for task in tasks])
    rows = 0
    with (
        replace_file(out) as partial,
        pq.ParquetWriter(partial, kind, write_page_checksum=True) as writer,
    ):
        for examples in ahead(encoded(source, encoder)):
            batches = in_order(examples, scorer.batch_size)
            logits = scorer.logits(variables, batches)
            columns = [outcome(logits[:, i], task) for i, task in enumerate(tasks)]
            writer.write_table(pa.table(columns, schema=kind))
            rows += len(logits)
    return rows


def encoded(source: str, encoder: Encoder) -> Iterator[Examples]:
    """The rows of a file, some at a time, ready to score."""
    for chunk in read([source], encoder.schema, labels=False):
        yield encoder.encode(Rows(chunk, encoder.schema.format), labels=False)


def outcome(logits: np.ndarray, task: Task) -> np.ndarray:  # (rows,) float32
    """The probability of a 1, or for a squared loss the predicted number itself."""
    if task.loss == "squared":
        return logits
    # exp of a non-positive number never overflows.
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)
