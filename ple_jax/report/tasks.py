"""What tasks do to each other: the section on gradients and affinity."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ple_jax.analysis.affinity import task_affinity
from ple_jax.analysis.conflict import ALL, conflict_over_time, gradient_conflict
from ple_jax.report.figures import COLOURS, Figure, figure
from ple_jax.report.section import Section
from ple_jax.show.escape import one_line
from ple_jax.show.grid import Grid
from ple_jax.studies.sides import Side

OPPOSED = 0.75  # share of batches with a cosine below 0, from which tasks conflict


def torn(sides: Sequence[Side], wanted: bool, over_time: bool = False) -> Section:
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
        if over_time:
            made.figures.append(course(side.name, conflict_over_time(side.runs[0])))
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
        how = "now the same way, now against each other"
        if opposed >= OPPOSED:
            how = "against each other"
        elif opposed <= 1 - OPPOSED:
            how = "the same way"
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


def course(name: str, times: Sequence[Mapping[str, Any]]) -> Figure:
    """The cosine of each two tasks' gradients as training goes on."""
    at = times[0]["layers"].index(ALL)
    seen = [time["examples"] for time in times]
    mean, spread = (np.array([t[k][at] for t in times]) for k in ("mean", "deviation"))

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        axes.axhline(0, color="grey", linewidth=0.5)
        each = zip(times[0]["pairs"], mean.T, spread.T, itertools.cycle(COLOURS))
        for pair, line, width, colour in each:
            label = one_line(f"{pair[0]}, {pair[1]}")
            axes.plot(seen, line, color=colour, marker="o", markersize=3, label=label)
            axes.fill_between(
                seen, line - width, line + width, color=colour, alpha=0.15, linewidth=0
            )
        axes.set_xlabel("examples")
        axes.set_ylabel("cosine")
        axes.legend(frameon=False, fontsize=8)

    caption = (
        "Over all that tasks share, before training and after each epoch of it, first "
        "seed; bands are the deviation of batches. Below 0, tasks conflict."
    )
    return figure(f"Conflict over time, {name}", caption, draw, 6.0, 3.2)


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
