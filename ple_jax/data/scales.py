"""The units in which tasks are learned, fitted to the labels of train."""

import dataclasses
from typing import Any

import numpy as np

from ple_jax.config.values import dataclass_from
from ple_jax.data.counts import NumberCounts
from ple_jax.layout import Scale
from ple_jax.tasks import Task


def fit_scale(task: Task, counts: NumberCounts) -> Scale:
    """The scale of a task, from the counts of its labels in its sample space.

        identity    mean and standard deviation of labels
        log         0 and their mean: a logit of 0 predicts it
        levels      a threshold for each but the last: -logit of the share above it

    where each level counts half an example more than it has: all of them can be told
    apart.
    """
    mean, deviation = counts.moments(log=False)
    if task.kind.link == "log":
        return Scale(0.0, mean if mean > 0 and len(counts.values) else 1.0)
    if task.kind.link == "levels":
        return Scale(thresholds=thresholds(task, counts))
    return Scale(mean, deviation)


def thresholds(task: Task, counts: NumberCounts) -> tuple[float, ...]:  # (K - 1,)
    """-log(n_above / n_up_to) of each of K levels but the last."""
    levels = np.array(task.levels)
    level = np.searchsorted((levels[1:] + levels[:-1]) / 2, counts.values)
    each = np.bincount(level, counts.counts, minlength=len(levels)) + 0.5
    up_to = np.cumsum(each)
    return tuple(np.log(up_to[:-1] / (up_to[-1] - up_to[:-1])).tolist())


def plain(scale: Scale) -> dict[str, Any]:
    """Plain values, ready for JSON: thresholds only where there are some."""
    each = dataclasses.asdict(scale)
    return {name: value for name, value in each.items() if value != ()}


def read_scale(facts: Any) -> Scale:
    """Reverses `plain`."""
    return dataclass_from(Scale, facts, "scale")
