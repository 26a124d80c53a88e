"""Runs against the first of them, on the same rows: how far apart, and how sure."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ple_jax import config
from ple_jax.config.sweep import SEED
from ple_jax.metrics.intervals import Influence
from ple_jax.metrics.paired import HEADLINES
from ple_jax.metrics.several import holm
from ple_jax.metrics.spread import CONFIDENCE, spread
from ple_jax.schema import Task
from ple_jax.studies import paired
from ple_jax.studies.paired import Scores, influences
from ple_jax.studies.sides import Side, check_same_data
from ple_jax.train.setup import Setup, shapes

AHEAD, BEHIND, EVEN, UNKNOWN = "ahead", "behind", "not apart", "undefined"
Moved = Mapping[str, Sequence[Influence | None]]  # task -> of each run


def compare(sides: Sequence[Side], split: str | None = None) -> dict[str, Any]:
    """How far each side is ahead of the first, by task, and by domain and task.

    A gain is significant if its p-value, by Holm among all of its table, is at most
    0.05. Domains have a table of their own. Where a side has one seed, all this says is
    how these trainings differ: others of the same models may do otherwise.

    Args:
        sides: What to compare, on one data set; see `sides_of`.
        split: Where; by default test, or validation if there is no test.

    Returns:
        Plain values:

        split, over, number, confidence   what is drawn anew: so many users or examples
        reference    the name of the first side
        sides        name -> model, directory, seeds, left_out, parameters, seconds
        metrics      task -> the metric that is compared
        scores       task -> side -> `spread` over seeds
        gains        task -> side -> `gain`, p_adjusted, verdict; "ahead" is better
        domains      domain -> {"scores": ..., "gains": ...}; {} of a single domain
        knobs        dotted path -> side -> value, where these differ

    Raises:
        ValueError: Fewer than two sides, or they are of several data sets, or there is
            no such split.
    """
    if len(sides) < 2:
        raise ValueError(
            f"{sides[0].name if sides else 'nothing'} is one run: name another to "
            "compare it with."
        )
    check_same_data(sides)
    data = sides[0].data
    split = split or data.splits[-1]
    rows = data.split(split)
    scored = {s.name: influences(s.runs, split, by_domain=True) for s in sides}
    tasks, users = data.layout.tasks, rows.user
    of = lambda where: {k: pick(each, where) for k, each in scored.items()}
    each = {n: of(("domains", n)) for n in data.layout.domains}
    return {
        "split": split,
        "over": "examples" if users is None else "users",
        "number": len(rows) if users is None else len(np.unique(users)),
        "confidence": CONFIDENCE,
        "reference": sides[0].name,
        "sides": {side.name: facts(side) for side in sides},
        "metrics": {task.name: HEADLINES[task.loss] for task in tasks},
        **tables([of(("tasks",))], tasks)[0],
        "domains": dict(zip(each, tables([*each.values()], tasks), strict=True))
        if len(each) > 1
        else {},
        "knobs": knobs(sides),
    }


def pick(runs: Sequence[dict[str, Any]], where: Sequence[str]) -> Moved:
    """Task -> the influences of each run, of all rows or of a domain."""
    for name in where:
        runs = [run[name] for run in runs]
    return {task: [run[task] for run in runs] for task in runs[0]}


def tables(
    each: Sequence[Mapping[str, Moved]], tasks: Sequence[Task]
) -> list[dict[str, Any]]:
    """The scores and gains of some tables, whose p-values are adjusted together.

    Args:
        each: Of each table, side -> task -> the influences of its runs.
        tasks: The tasks.
    """
    found = [{"scores": scores(t), "gains": gains(t, tasks)} for t in each]
    flat = [g for t in found for of in t["gains"].values() for g in of.values()]
    adjusted = holm([one["p_value"] for one in flat])
    for one, p in zip(flat, adjusted, strict=True):
        one |= {"p_adjusted": p, "verdict": verdict(one["mean"], p)}
    return found


def scores(moved: Mapping[str, Moved]) -> dict[str, Any]:
    """Task -> side -> the spread of its headline over seeds."""
    return {
        task: {name: spread(values(of[task])) for name, of in moved.items()}
        for task in next(iter(moved.values()))
    }


def values(each: Sequence[Influence | None]) -> list[float | None]:
    """The headline of each run; None where it is undefined."""
    return [None if one is None else one.value for one in each]


def gains(moved: Mapping[str, Moved], tasks: Sequence[Task]) -> dict[str, Any]:
    """Task -> side -> how far it is ahead of the first."""
    of = lambda side: Scores({t: values(each) for t, each in side.items()}, side)
    (_, first), *others = moved.items()
    found = {n: paired.gains(of(side), of(first), tasks) for n, side in others}
    return {t.name: {n: each[t.name] for n, each in found.items()} for t in tasks}


def verdict(mean: float | None, p_adjusted: float | None) -> str:
    """Whether a side is ahead or behind, by more than chance."""
    if mean is None or p_adjusted is None:
        return UNKNOWN
    if p_adjusted > 1 - CONFIDENCE:
        return EVEN
    return AHEAD if mean > 0 else BEHIND


def facts(side: Side) -> dict[str, Any]:
    """What a side is: its model, its seeds and its size."""
    run = side.runs[0]
    setup = Setup([run.experiment], side.data)
    trained = shapes(setup.trainer, setup.mesh).trained
    count = lambda tree: sum(int(leaf.size) for leaf in jax.tree.leaves(tree))
    return {
        "model": run.experiment.model.kind,
        "directory": str(side.directory),
        "seeds": side.seeds,
        "left_out": list(side.left_out),
        "parameters": count(trained["model"]),
        "numbers_in_tables": setup.tables.numbers,
        "best_epochs": [
            (r.result or {}).get("course", {}).get("best_epoch") for r in side.runs
        ],
    }


def knobs(sides: Sequence[Side]) -> dict[str, dict[str, Any]]:
    """Dotted path -> side -> value, of knobs that differ; seeds do not count."""
    flat = {side.name: config.flat(side.runs[0].experiment) for side in sides}
    paths = sorted({path for of in flat.values() for path in of} - {SEED})
    each = {path: {name: of.get(path) for name, of in flat.items()} for path in paths}
    differ = lambda of: any(value != of[sides[0].name] for value in of.values())
    return {path: of for path, of in each.items() if differ(of)}
