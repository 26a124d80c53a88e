"""All metrics with their intervals: rows are sorted once for both."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ple_jax.metrics import exact, intervals
from ple_jax.metrics.curves import Ranked
from ple_jax.schema import Task


def report(
    logits: np.ndarray,  # (B, T)
    labels: np.ndarray,  # (B, T)
    observed: np.ndarray,  # (B, T) bool
    weights: np.ndarray | None,  # (B,); None weighs all examples equally
    domain: np.ndarray | None,  # (B,) int; None if there is one domain
    tasks: Sequence[Task],
    domains: Sequence[str],
    user: np.ndarray | None = None,  # (B,) int
) -> dict[str, Any]:
    """`exact.report`, and `intervals.report` as its "intervals".

    Raises:
        ValueError: As of `exact.report`.
    """
    exact.check_logits(logits)
    found = exact.each_task(
        measure, logits, labels, observed, weights, domain, tasks, domains, user
    )
    metrics, ends = _part(found, 0), _part(found, 1)
    measured = exact.assembled(metrics, len(logits))
    return {**measured, "intervals": intervals.assembled(ends, len(logits), user)}


def measure(
    task: Task,
    logits: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    weights: np.ndarray,  # (B,)
    user: np.ndarray | None = None,  # (B,)
) -> tuple[exact.Measured, dict[str, Any]]:
    """The metrics of one task on observed examples, and their intervals."""
    rows = task, logits, labels, weights, user
    ranked = Ranked(logits, labels, user) if task.is_binary else None
    return exact.measure(*rows, ranked), intervals.measure(*rows, ranked)


def _part(found: dict[str, Any], i: int) -> dict[str, Any]:
    """The tree of tasks and domains with one of each pair."""
    of = lambda tasks: {name: pair[i] for name, pair in tasks.items()}
    domains = {name: of(tasks) for name, tasks in found["domains"].items()}
    return {"tasks": of(found["tasks"]), "domains": domains}
