"""Points of a study against each other, on the same rows."""

import statistics
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ple_jax.metrics.exact import each_task
from ple_jax.metrics.intervals import Influence, of_headline
from ple_jax.metrics.paired import HEADLINES, gain
from ple_jax.runs.directory import Run
from ple_jax.schema import Task
from ple_jax.train import evaluate, recalibrate, vmapped
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.grouping import together
from ple_jax.train.setup import Setup, shapes
from ple_jax.train.state import variables_of

Result = Mapping[str, Any]  # of a trial


class Scores(NamedTuple):
    """What the seeds of a model score on a split.

    Attributes:
        headlines: Task -> its headline for each seed; None where it is undefined.
        moved: Task -> what each of these depends on.
    """

    headlines: Mapping[str, Sequence[float | None]]
    moved: Mapping[str, Sequence[Influence | None]]


def gains(better: Scores, other: Scores, tasks: Sequence[Task]) -> dict[str, Any]:
    """Task -> how much better one model is than another on the same rows: `gain`."""

    def of(task: Task) -> dict[str, Any]:
        a, b = (one.headlines.get(task.name, ()) for one in (better, other))
        first, second = (one.moved.get(task.name, ()) for one in (better, other))
        return gain(task.loss, a, b, (first, second))

    return {task.name: of(task) for task in tasks}


def differences(
    points: Mapping[str, Sequence[Run]], results: Mapping[str, Result]
) -> dict[str, Any]:
    """How far the point that is best on validation is ahead of each other one.

    They are compared on test, or on validation if there is no test.

    Args:
        points: The finished trials of each point, in the order of their seeds.
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
    return {"best": best, **against(best, points, of)}


def against(
    first: str, points: Mapping[str, Sequence[Run]], of: Callable[[Run], Result]
) -> dict[str, Any]:
    """How far the point `first` is ahead of each other one on the last split.

    Args:
        first: Which point.
        points: The finished trials of each, of one data set, in the order of seeds.
        of: The final table of a trial.

    Returns:
        What `differences` does, without "best".
    """
    data = points[first][0].data
    split, tasks = data.splits[-1], data.layout.tasks
    every = [run for runs in points.values() for run in runs]
    each = zip(every, influences(every, split), strict=True)
    moved = {run.directory: found["tasks"] for run, found in each}

    def scores(runs: Sequence[Run]) -> Scores:
        headline = lambda r, t: of(r)[split]["tasks"][t.name][HEADLINES[t.loss]]
        return Scores(
            {t.name: [headline(run, t) for run in runs] for t in tasks},
            {t.name: [moved[run.directory][t.name] for run in runs] for t in tasks},
        )

    scored = {point: scores(runs) for point, runs in points.items()}
    found = {p: gains(scored[first], scored[p], tasks) for p in points if p != first}
    users = "examples" if data.split(split).user is None else "users"
    by_task = {t.name: {p: of_p[t.name] for p, of_p in found.items()} for t in tasks}
    return {"split": split, "over": users, "tasks": by_task}


def validation_score(run: Run, result: Result) -> float:
    """The metric that chose a trial's best epoch, higher is better.

    It is that of `train.metric` on validation, or its negative for an error.
    """
    metric = evaluate.resolve_metric(run.experiment.train.metric, run.data.layout)
    value = evaluate.chosen_metric(result["validation"], metric)
    return evaluate.score_of(value, metric)


def influences(
    runs: Sequence[Run], split: str, by_domain: bool = False
) -> list[dict[str, Any]]:
    """What the headlines of each run on a split depend on.

    Args:
        runs: Of one data set.
        split: Where.
        by_domain: Whether also of each domain.

    Returns:
        Of each run "tasks": task -> `Influence`, None if undefined; by domain also
        "domains": domain -> the same.
    """
    data, logits = runs[0].data, logits_of(runs, split)
    layout, rows = data.layout, data.split(split)
    given = rows.labels, rows.observed, rows.weights
    domain, domains = (rows.domain, layout.domains) if by_domain else (None, ("all",))
    names = layout.tasks, domains, rows.user
    return [
        each_task(of_headline, logits[:, i], *given, domain, *names)
        for i in range(len(runs))
    ]


def logits_of(runs: Sequence[Run], split: str) -> np.ndarray:  # (rows, R, T)
    """Logits of a split by each run's best checkpoint, as it predicts by them."""
    domain = runs[0].data.split(split).domain
    of = {
        run.directory: _recalibrated(run, logits, domain)
        for run, logits in _scored(runs, split)
    }
    return np.stack([of[run.directory] for run in runs], axis=1)


def score_share(points: Mapping[str, Sequence[Run]]) -> None:
    """Scores a process's share of what `differences` scores in the first one."""
    every = [run for runs in points.values() for run in runs]
    if len(points) > 1:
        deque(_scored(every, every[0].data.splits[-1]), maxlen=0)


def _scored(runs: Sequence[Run], split: str) -> Iterator[tuple[Run, np.ndarray]]:
    """Each run and its logits (rows, T), those that one program scores together."""
    for group in together(runs):
        yield from zip(group, _of_group(group, split), strict=True)


def _recalibrated(run: Run, logits: np.ndarray, domain: np.ndarray) -> np.ndarray:
    own = recalibrate.of_runs([run])
    return own(logits, domain) if own else logits


def _of_group(runs: Sequence[Run], split: str) -> np.ndarray:  # (R, rows, T)
    """Logits of trials that one program scores."""
    several, data = len(runs) > 1, runs[0].data
    setup = Setup([run.experiment for run in runs], data, vmapped=several)
    lone = Setup([runs[0].experiment], data)
    like, each = variables_of(shapes(lone.trainer, lone.mesh)), []
    for run in runs:
        with Checkpoints(run.checkpoints, True, lone.rows) as checkpoints:
            each.append(checkpoints.restore_variables(like))
    if not several:
        return setup.scorer.of_split(each[0], split)[None]
    scored = setup.scorer.of_split(vmapped.side_by_side(each, setup.where), split)
    return np.moveaxis(scored, 1, 0)
