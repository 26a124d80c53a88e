"""Metrics of the chance of a task and of all that it is given, over all examples."""

from collections.abc import Sequence

import numpy as np

from ple_jax import links
from ple_jax.metrics import exact
from ple_jax.metrics.errors import Measured
from ple_jax.tasks import Task, joint_name


def report(
    logits: np.ndarray,  # (B, T), each of a task given the one before
    labels: np.ndarray,  # (B, T)
    observed: np.ndarray,  # (B, T) bool
    weights: np.ndarray | None,  # (B,); None weighs all examples equally
    tasks: Sequence[Task],
    user: np.ndarray | None = None,  # (B,) int
) -> dict[str, Measured]:
    """The metrics of tasks with `entire_space`, by names such as buy_and_click.

    Their logits and labels are those of `links.entire_space`; {} without such tasks.
    """
    chosen = [i for i, task in enumerate(tasks) if task.entire_space]
    if not chosen:
        return {}
    weights = np.ones(len(logits)) if weights is None else weights
    wide = np.asarray(logits, np.float64)
    whole = links.entire_space(wide, labels, observed, tasks, is_learned=False)

    def of(i: int) -> Measured:
        z, y, seen = (each[:, i] for each in whole)
        users = None if user is None else user[seen]
        return exact.measure(tasks[i], z[seen], y[seen], weights[seen], users)

    return {joint_name(tasks[i], tasks): of(i) for i in chosen}
