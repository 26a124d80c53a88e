"""A split as a run scores it: what most analyses begin with."""

from typing import NamedTuple

import numpy as np

from ple_jax.data.examples import Examples
from ple_jax.layout import Layout
from ple_jax.metrics.paired import HEADLINES
from ple_jax.schema import Task
from ple_jax.serve.files import predictions
from ple_jax.studies.sides import Side

PROBABILITY = "auc_roc"  # the headline of a task whose prediction is a probability


class Seen(NamedTuple):
    """The rows of a task that have its label."""

    rows: np.ndarray  # (n,) their numbers in the split
    logits: np.ndarray  # (n,)
    predicted: np.ndarray  # (n,)
    labels: np.ndarray  # (n,)
    weights: np.ndarray  # (n,)


class Scored(NamedTuple):
    """Examples of a split, and their logits by one run."""

    layout: Layout
    examples: Examples
    logits: np.ndarray  # (B, T)

    def of(self, number: int, some: np.ndarray | None = None) -> Seen:
        """What is seen of task `number`, or of it among `some` rows (B,) bool."""
        one, task = self.examples, self.layout.tasks[number]
        observed = one.observed[:, number]
        rows = np.flatnonzero(observed if some is None else observed & some)
        logits = self.logits[rows, number]
        predicted = np.asarray(predictions(logits, task), np.float64)
        labels, weights = one.labels[rows, number], one.weights[rows]
        return Seen(rows, logits, predicted, labels, weights)


def scored(side: Side, split: str) -> list[Scored]:
    """A split as each run of a side scores it, by its best checkpoint."""
    layout, rows, logits = side.data.layout, side.data.split(split), side.logits(split)
    return [Scored(layout, rows, logits[:, i]) for i in range(logits.shape[1])]


def is_probability(task: Task) -> bool:
    """Whether what is predicted of a task is a probability."""
    return HEADLINES[task.loss] == PROBABILITY
