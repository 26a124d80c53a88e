"""Points of a study against the best one, on the same rows."""

import pathlib
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.metrics.exact import each_task
from ple_jax.metrics.intervals import Influence, of_headline
from ple_jax.metrics.paired import HEADLINES, gain
from ple_jax.parallel.mesh import state_shardings
from ple_jax.runs.directory import Run
from ple_jax.train import evaluate
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.setup import Setup, shapes
from ple_jax.train.state import variables_of

Influences = dict[str, Influence | None]  # by task
Result = Mapping[str, Any]  # of a trial


def differences(
    points: Mapping[str, Sequence[Run]],
    groups: Iterable[Sequence[Run]],
    results: Mapping[str, Result],
) -> dict[str, Any]:
    """How far the point that is best on validation is ahead of each other one.

    They are compared on test, or on validation if there is no test.

    Args:
        points: The finished trials of each point, in the order of their seeds.
        groups: The same trials, of which one program scores each group.
        results: The final table of each trial, by its name.

    Returns:
        "best", "split", "over" ("users" or "examples"), and "tasks": task -> other
        point -> `gain`; {} if there is no other point.
    """
    points = {point: runs for point, runs in points.items() if runs}
    if len(points) < 2:
        return {}
    score = lambda run: validation_score(run, results[run.directory.name])
    best = max(points, key=lambda point: statistics.fmean(map(score, points[point])))
    of = lambda run: results[run.directory.name]
    return {"best": best, **against(best, points, groups, of)}


def against(
    first: str,
    points: Mapping[str, Sequence[Run]],
    groups: Iterable[Sequence[Run]],
    of: Callable[[Run], Result],
) -> dict[str, Any]:
    """How far the point `first` is ahead of each other one on the last split.

    Args:
        first: Which point.
        points: The finished trials of each, of one data set, in the order of seeds.
        groups: The same trials, of which one program scores each group.
        of: The final table of a trial.

    Returns:
        What `differences` does, without "best".
    """
    data = points[first][0].data
    split = data.splits[-1]
    moved = {place: of for runs in groups for place, of in influences(runs, split)}

    def over(point: str, task: Any) -> dict[str, Any]:
        pair, name = (points[first], points[point]), HEADLINES[task.loss]
        scores = [
            [of(r)[split]["tasks"][task.name][name] for r in runs] for runs in pair
        ]
        each = [[moved[r.directory][task.name] for r in runs] for runs in pair]
        ours, theirs = ([i for i in of_runs if i] for of_runs in each)
        return gain(task.loss, scores[0], scores[1], (ours, theirs))

    others = [point for point in points if point != first]
    tasks = {t.name: {p: over(p, t) for p in others} for t in data.layout.tasks}
    users = "examples" if data.split(split).user is None else "users"
    return {"split": split, "over": users, "tasks": tasks}


def validation_score(run: Run, result: Result) -> float:
    """The metric that chose a trial's best epoch, higher is better.

    It is that of `train.metric` on validation, or its negative for an error.
    """
    metric = evaluate.resolve_metric(run.experiment.train.metric, run.data.layout)
    value = evaluate.chosen_metric(result["validation"], metric)
    return evaluate.score_of(value, metric)


def influences(
    runs: Sequence[Run], split: str
) -> list[tuple[pathlib.Path, Influences]]:
    """The directory of each trial, and what its headlines on a split depend on."""
    layout, rows = runs[0].data.layout, runs[0].data.split(split)
    logits, given = logits_of(runs, split), (rows.labels, rows.observed, rows.weights)
    return [
        (
            run.directory,
            each_task(
                of_headline,
                logits[:, i],
                *given,
                None,
                layout.tasks,
                ("all",),
                rows.user,
            )["tasks"],
        )
        for i, run in enumerate(runs)
    ]


def logits_of(runs: Sequence[Run], split: str) -> np.ndarray:  # (rows, R, T)
    """Logits of a split by the best checkpoints of trials that one program scores."""
    several, data = len(runs) > 1, runs[0].data
    setup = Setup([run.experiment for run in runs], data, vmapped=several)
    lone = Setup([runs[0].experiment], data)
    like, each = variables_of(shapes(lone.trainer, lone.mesh)), []
    for run in runs:
        with Checkpoints(run.checkpoints, read_only=True) as checkpoints:
            each.append(checkpoints.restore_variables(like))
    if not several:
        return setup.scorer.of_split(each[0], split)[:, None]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    places = state_shardings(setup.mesh, stacked, vmapped=True)
    return setup.scorer.of_split(jax.device_put(stacked, places), split)
