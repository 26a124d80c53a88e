"""Two contenders on the same rows: how far apart, and how sure."""

import numpy as np

from ple_jax.data.examples import Examples
from ple_jax.metrics.intervals import Influence, of_headline
from ple_jax.metrics.paired import gain
from ple_jax.schema import Task

from .report import Record


def difference(
    test: Examples, number: int, task: Task, run: np.ndarray, trees: np.ndarray
) -> Record:
    """The means of both and their difference; logits are (seeds, B)."""
    seen = test.observed[:, number]
    user = None if test.user is None else test.user[seen]
    given = test.labels[seen, number], test.weights[seen], user

    def moved(logits: np.ndarray) -> list[Influence | None]:
        return [of_headline(task, one[seen], *given) for one in logits]

    a, b = moved(run), moved(trees)
    first, second = ([m and m.value for m in each] for each in (a, b))
    found = gain(task.loss, first, second, (a, b))
    means = {"run": mean(first), "trees": mean(second)}
    return {**means, "difference": found.pop("mean"), **found}


def mean(values: list[float | None]) -> float:
    """The mean of those that are defined."""
    return float(np.mean([value for value in values if value is not None]))
