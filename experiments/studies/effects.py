"""Draws what each part of a choice gives, whatever the other parts are (matplotlib).

    python experiments/studies/effects.py FOLDER shared:star none:BN +auxiliary ...

Choices are names of parts, as "BN, star, auxiliary". The effect of A:B is how far a
choice with B in place of A is ahead, as the mean over all pairs that differ in this
alone; that of +B is the mean over pairs where B is added. So every trained network
counts for each part, which tells smaller effects than one choice beside another.
Intervals are over seeds, 95 %, and are not corrected for their number.
"""

import argparse
import pathlib
from typing import Any

import numpy as np
from draw import Table, read_table, write

from ple_jax.metrics.spread import spread
from ple_jax.report import figures


def effect(table: Table, beside: tuple[str, ...], task: str, asked: str) -> np.ndarray:
    """The mean over pairs of how far the second is ahead, seed by seed (S,)."""
    old, _, new = asked.rpartition(":")
    removed, added = ({old}, {new}) if old else (set(), {new.removeprefix("+")})
    named = {frozenset(name.split(", ")): name for name in table.choices}
    pairs = [
        (parts, (parts - removed) | added)
        for parts in named
        if removed <= parts and not added & parts
    ]
    gains = [
        table.gain(beside, named[after], task) - table.gain(beside, named[before], task)
        for before, after in pairs
        if after in named
    ]
    if not gains:
        raise ValueError(
            f"No two choices of {table.choices} differ by {asked!r} alone."
        )
    return np.mean(gains, axis=0)


def draw_panel(
    axes: Any, table: Table, beside: tuple[str, ...], asked: list[str]
) -> None:
    """The effects of one choice of the other axes, a colour a task."""
    tasks = table.tasks_of(beside)
    for i, task in enumerate(tasks):
        found = [spread(list(effect(table, beside, task, one))) for one in asked]
        for one, facts in zip(asked, found, strict=True):
            low, high = facts["interval"]
            where = ", ".join(beside)
            print(
                f"| {where} | {task} | {one} | {facts['mean']:+.4f} | "
                f"{low:+.4f} to {high:+.4f} |"
            )
        mean = np.array([facts["mean"] for facts in found])
        ends = np.array([facts["interval"] for facts in found])
        axes.errorbar(
            mean,
            np.arange(len(asked)) + 0.18 * (i - (len(tasks) - 1) / 2),
            xerr=np.abs(ends - mean[:, None]).T,
            color=figures.COLOURS[i],
            marker=figures.MARKERS[i],
            markersize=4,
            linestyle="",
            label=task,
        )
    axes.axvline(0, color=figures.INK, linewidth=0.8)
    axes.set_yticks(range(len(asked)), asked)
    axes.invert_yaxis()
    axes.set_title(", ".join(beside), fontsize=10)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12)}
    axes.legend(**below, ncols=len(tasks), frameon=False, fontsize=9)


def effects(folder: pathlib.Path, asked: list[str]) -> str:
    """The SVG of a panel for each choice of the other axes; prints a row an effect."""
    table, metric = read_table(folder)
    places = list(dict.fromkeys(beside for beside, _, _ in table.values))

    def draw_all(canvas: Any) -> None:
        row = canvas.subplots(1, len(places), squeeze=False)[0]
        for axes, beside in zip(row, places, strict=True):
            draw_panel(axes, table, beside, asked)
        canvas.suptitle(f"{metric} ahead", fontsize=10)

    width, height = 4.2 * len(places), 1.6 + 0.4 * len(asked)
    return figures.figure(table.plan.asked.title, "", draw_all, width, height).svg


def main() -> None:
    """Draws what is asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("effects", nargs="+", metavar="A:B|+B")
    asked = parser.parse_args()
    write(asked.folder / "effects.svg", effects(asked.folder, asked.effects))


if __name__ == "__main__":
    main()
