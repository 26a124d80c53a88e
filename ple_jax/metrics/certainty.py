"""A mean over tasks in which each counts by how certain its metric is."""

from collections.abc import Mapping
from typing import Any


def certainty(positives: int, negatives: int) -> float:
    """How certain an AUC is: 1/12 of the inverse of its variance by chance.

        w = P N / (P + N + 1),    Var(AUC) = 1 / (12 w) where scores are random

    It depends on the labels alone, so that it is the same for all epochs. 0 if there is
    one class. Reference: Hanley and McNeil, Radiology 1982, equation 2 at an area of
    1/2.

    Example:
        >>> certainty(1000, 9000), certainty(10, 9990), certainty(0, 10_000)
        (899.9..., 9.98..., 0.0)
    """
    return positives * negatives / (positives + negatives + 1)


def certain_mean(tasks: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    """sum_t w_t m_t / sum_t w_t over tasks with a metric: see `certainty`.

    A task with one class has no say. None if there is no other.

    Args:
        tasks: Task -> metric -> value; those with `positives` are binary.
        name: The metric.
    """
    total = weight = 0.0
    for measured in tasks.values():
        if measured.get(name) is not None and "positives" in measured:
            positives = measured["positives"]
            own = certainty(positives, measured["examples"] - positives)
            total, weight = total + own * measured[name], weight + own
    return total / weight if weight else None
