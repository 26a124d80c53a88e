"""Learning curves: how good a run was after so many examples, and so many seconds."""

from typing import Any

import numpy as np

from ple_jax.metrics.paired import HEADLINES
from ple_jax.runs.directory import Run
from ple_jax.runs.journal import read_records


def learning_curve(run: Run) -> dict[str, Any]:
    """What the journal says of each epoch.

    Returns:
        Plain arrays (epochs,):

        examples   trained on so far
        seconds    of training so far, without compiling and measuring
        loss       of training, summed over tasks
        tasks      task -> its headline on validation; NaN where undefined
        best       whether the epoch was the best so far
    """
    records = [r for r in read_records(run.metrics) if "epoch" in r]
    steps = np.array([r["step"] for r in records], np.int64)
    examples = steps * run.experiment.train.batch_size
    speed = np.array([max(r["examples_per_second"], 1) for r in records], np.float64)
    number = lambda value: np.nan if value is None else value
    headline = lambda task: [
        number(r["validation"]["tasks"][task.name][HEADLINES[task.loss]])
        for r in records
    ]
    tasks = run.data.layout.tasks
    return {
        "examples": examples,
        "seconds": np.cumsum(np.diff(examples, prepend=0) / speed),
        "loss": np.array([number(r["loss"]) for r in records], np.float64),
        "tasks": {task.name: np.array(headline(task), np.float64) for task in tasks},
        "best": np.array([bool(r["improved"]) for r in records]),
    }
