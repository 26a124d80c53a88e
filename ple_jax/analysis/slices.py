"""Slice tables: how good a run is on some of the rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ple_jax.analysis.scored import Scored, Seen
from ple_jax.analysis.slicing import Slice
from ple_jax.metrics import whole
from ple_jax.metrics.paired import HEADLINES
from ple_jax.schema import Task


def slice_metrics(scored: Scored, slices: Sequence[Slice]) -> dict[str, Any]:
    """The metrics of each task on each of some slices, and on all rows.

    Args:
        scored: A split that a run has scored.
        slices: Of the same split, as `slices_of` gives them; they may overlap.

    Returns:
        Plain arrays, NaN where undefined. "slices" has the names (S,), "all rows" last,
        and "tasks" has, by task:

        metric       the headline, such as auc_roc
        low, high    (S,) its 95 % interval, over users or examples
        actual       (S,) mean label
        predicted    (S,) mean prediction
        metrics      metric -> (S,), all there are, `examples` among them
    """
    every = Slice("all rows", np.arange(len(scored.examples)))
    parts = [*slices, every]
    tasks = enumerate(scored.layout.tasks)
    of = lambda number, part: _measured(scored, number, part)
    return {
        "slices": [part.name for part in parts],
        "tasks": {
            task.name: _columns(task, [of(number, part) for part in parts])
            for number, task in tasks
        },
    }


def _measured(scored: Scored, number: int, part: Slice) -> dict[str, Any]:
    """All of one task on one slice."""
    task, user = scored.layout.tasks[number], scored.examples.user
    mask = np.zeros(len(scored.examples), bool)
    mask[part.rows] = True
    seen = scored.of(number, mask)
    users = None if user is None else user[seen.rows]
    rows = seen.logits, seen.labels, seen.weights, users
    metrics, intervals = whole.measure(task, *rows)
    ends = intervals.get(HEADLINES[task.loss], {}).get("interval") or (None, None)
    means = _mean(seen, seen.labels), _mean(seen, seen.predicted)
    return {"metrics": metrics, "ends": ends, "means": means}


def _mean(seen: Seen, values: np.ndarray) -> float | None:
    total = float(seen.weights.sum())
    return (
        float(seen.weights @ np.asarray(values, np.float64)) / total if total else None
    )


def _columns(task: Task, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    column = lambda values: np.array(
        [np.nan if v is None else v for v in values], float
    )
    names = found[0]["metrics"]
    return {
        "metric": HEADLINES[task.loss],
        "low": column(one["ends"][0] for one in found),
        "high": column(one["ends"][1] for one in found),
        "actual": column(one["means"][0] for one in found),
        "predicted": column(one["means"][1] for one in found),
        "metrics": {n: column(one["metrics"][n] for one in found) for n in names},
    }
