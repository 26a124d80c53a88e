"""What tasks do to each other: the section on gradients and affinity."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ple_jax.analysis.affinity import task_affinity
from ple_jax.analysis.conflict import ALL, gradient_conflict
from ple_jax.report.section import Section
from ple_jax.show.grid import Grid
from ple_jax.studies.sides import Side

OPPOSED = 0.5  # share of batches with a cosine below 0, from which tasks conflict


def torn(sides: Sequence[Side], wanted: bool) -> Section:
    """Whether tasks pull what they share the same way, and which to group."""
    made = Section("Conflict")
    if not wanted:
        said = "--conflict measures whether tasks pull what they share the same way."
        made.words.append(said)
        return made
    for side in sides:
        conflict = gradient_conflict(side.runs[0])
        if not conflict["layers"]:
            made.words.append(f"{side.name}: no two tasks share a parameter.")
            continue
        made.words += [f"{side.name}: {said}" for said in pulls(conflict)]
        made.grids.append(cosine_grid(side.name, conflict))
        affinity = task_affinity(side.runs[0])
        made.words.append(f"{side.name}: {grouping(affinity)}")
        made.grids.append(affinity_grid(side.name, affinity))
    return made


def pulls(conflict: Mapping[str, Any]) -> list[str]:
    """A sentence on each two tasks, over all that they share."""
    at = conflict["layers"].index(ALL)
    said = []
    for p, (one, other) in enumerate(conflict["pairs"]):
        mean, opposed = conflict["mean"][at, p], conflict["opposed"][at, p]
        if np.isnan(mean):
            continue
        how = "against each other" if opposed > OPPOSED else "the same way"
        said.append(
            f"{one} and {other} pull what they share {how} (cosine {mean:+.3f}, below "
            f"0 in {opposed:.0%} of batches)."
        )
    return said


def cosine_grid(name: str, conflict: Mapping[str, Any]) -> Grid:
    """The cosine of each two tasks' gradients, by layer."""
    mean, spread, opposed = (conflict[k] for k in ("mean", "deviation", "opposed"))
    rows = [
        [layer, f"{one}, {other}", _signed(mean[i, p])]
        + [_plain(of[i, p]) for of in (spread, opposed)]
        for i, layer in enumerate(conflict["layers"])
        for p, (one, other) in enumerate(conflict["pairs"])
        if not np.isnan(mean[i, p])
    ]
    note = (
        "At the best checkpoint, first seed, over batches of train. Below 0: what "
        "helps one task harms the other, over the numbers that both move."
    )
    columns = ["layer", "tasks", "cosine", "deviation", "share below 0"]
    return Grid(f"gradients of tasks, {name}", columns, rows, note, names=2)


def grouping(affinity: Mapping[str, Any]) -> str:
    """Which tasks help each other most."""
    groups = [" and ".join(group) for group in affinity["groups"]]
    if len(groups) == 1:
        return f"steps for {groups[0]} help each other: train them together."
    return f"tasks help each other most in these groups: {'; '.join(groups)}."


def affinity_grid(name: str, affinity: Mapping[str, Any]) -> Grid:
    """What a step for one task does to the loss of each."""
    rows = [
        [task, *(_signed(value, "%") for value in 100 * of)]
        for task, of in zip(affinity["tasks"], affinity["mean"], strict=True)
    ]
    note = (
        "How much of each column's loss a small step for the row's task takes away, on "
        "what tasks share; below 0 it adds (Fifty et al., 2021)."
    )
    columns = ["step for", *(f"loss of {task}" for task in affinity["tasks"])]
    return Grid(f"affinity of tasks, {name}", columns, rows, note)


def _signed(value: float, unit: str = "") -> str:
    return "undefined" if np.isnan(value) else f"{value:+.4f}{unit and ' ' + unit}"


def _plain(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.3f}"
