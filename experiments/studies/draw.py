"""Draws figures of studies beside their results, as SVG (needs matplotlib).

    python experiments/studies/draw.py lines FOLDER AXIS [--domain D] [--gain]
    python experiments/studies/draw.py plane FOLDER
    python experiments/studies/draw.py cost FOLDER
    python experiments/studies/draw.py gates RUN_DIR CELL FOLDER

`lines` has a panel a task and a line for each choice that is compared, over the
choices of AXIS: the headline on test, or with --gain how far it is ahead of the
reference. `plane` has a panel for each choice of the other axes: how far each choice is
ahead in the first task, and in the second. `cost` has the operations of a step instead,
and the mean of all tasks. They are means over seeds with 95 % intervals; filled marks
are on the Pareto front of means. `gates` draws what the gates of a cell's first seed
take of each expert.
"""

import argparse
import collections
import itertools
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import jaxprs_in_params

from ple_jax import config
from ple_jax.analysis.seesaw import pareto_front
from ple_jax.config import study as plans
from ple_jax.config.experiment import Experiment
from ple_jax.metrics.paired import HEADLINES
from ple_jax.metrics.spread import spread
from ple_jax.report import figures
from ple_jax.studies.results import NUMBERS, read
from ple_jax.tasks import HEADLINES as BEST_FIRST

LOWER_IS_BETTER = ("rmse", "mse", "mae", "pinball", "poisson_deviance")


class Table(NamedTuple):
    """Headlines on test: (choices beside, choice, task) -> one value a seed (S,)."""

    plan: plans.Plan
    values: dict[tuple[tuple[str, ...], str, str], np.ndarray]

    @property
    def tasks(self) -> list[str]:
        """The tasks, in the order of the results."""
        return list(dict.fromkeys(task for _, _, task in self.values))

    def tasks_of(self, beside: tuple[str, ...]) -> list[str]:
        """The tasks of one choice of the other axes."""
        return list(dict.fromkeys(t for b, _, t in self.values if b == beside))

    @property
    def choices(self) -> list[str]:
        """What is compared, the reference first."""
        compare, first = self.plan.asked.compare, self.plan.asked.reference
        names = dict.fromkeys(cell.choices[compare] for cell in self.plan.cells)
        return [first, *(name for name in names if name != first)]

    def gain(self, beside: tuple[str, ...], choice: str, task: str) -> np.ndarray:
        """How far a choice is ahead of the reference, seed by seed (S,)."""
        key = lambda name: (beside, name, task)
        ahead = self.values[key(choice)]
        return ahead - self.values[key(self.plan.asked.reference)]


def read_table(folder: pathlib.Path, domain: str = "") -> tuple[Table, str]:
    """The headlines of a study's folder, errors negated, and what the headline is."""
    plan = plans.load(folder / "study.toml")
    place = plan.axes.index(plan.asked.compare)
    found: dict[Any, list[float]] = collections.defaultdict(list)
    names = set()
    for row in read(folder / NUMBERS):
        wanted = row.split == "test" and row.domain == domain
        if wanted and row.metric in HEADLINES.values() and row.value is not None:
            names.add(row.metric)
            beside = (*row.cell[:place], *row.cell[place + 1 :])
            sign = -1 if row.metric in LOWER_IS_BETTER else 1
            found[beside, row.cell[place], row.task].append(sign * row.value)
    if not found:
        raise ValueError(f"{folder} has no headline on test of domain {domain!r}.")
    headline = next(name for name in BEST_FIRST if name in names)
    return Table(plan, {k: np.array(v) for k, v in found.items()}), headline


def lines(folder: pathlib.Path, axis: str, domain: str, by_gain: bool) -> str:
    """The SVG of a panel a task, and a line a choice, over the choices of an axis."""
    table, metric = read_table(folder, domain)
    plan = table.plan
    at = [name for name in plan.axes if name != plan.asked.compare].index(axis)
    points = list(dict.fromkeys(key[0] for key in table.values))
    ticks = list(dict.fromkeys(beside[at] for beside in points))
    rest = list(dict.fromkeys((*b[:at], *b[at + 1 :]) for b in points))
    sign = -1 if metric in LOWER_IS_BETTER and not by_gain else 1
    drawn = table.choices[1:] if by_gain else table.choices

    def draw(canvas: Any) -> None:
        grid = canvas.subplots(len(rest), len(table.tasks), squeeze=False)
        for axes, (others, task) in zip(
            grid.flat, itertools.product(rest, table.tasks), strict=True
        ):
            for i, choice in enumerate(drawn):
                known = [b for b in points if (*b[:at], *b[at + 1 :]) == others]
                of = [
                    table.gain(b, choice, task)
                    if by_gain
                    else sign * table.values[b, choice, task]
                    for b in known
                ]
                x = np.array([ticks.index(b[at]) for b in known])
                _bars(axes, x + 0.04 * (i - len(drawn) / 2), of, i, choice)
            if by_gain:
                axes.axhline(0, color=figures.INK, linewidth=0.8)
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_title(", ".join([*others, task]), fontsize=10)
        grid[-1][0].set_xlabel(axis)
        named = f"{metric} ahead of {plan.asked.reference}" if by_gain else metric
        grid[0][0].set_ylabel(named)
        names = grid[0][0].get_legend_handles_labels()
        canvas.legend(*names, loc="outside lower center", ncols=4, frameon=False)

    width, height = 4.2 * len(table.tasks), 1.0 + 2.6 * len(rest)
    return figures.figure(plan.asked.title, "", draw, width, height).svg


def _bars(axes: Any, x: np.ndarray, of: list[np.ndarray], i: int, name: str) -> None:
    """A line through means, with the interval of each over seeds."""
    found = [spread(list(values)) for values in of]
    mean = np.array([one["mean"] for one in found])
    ends = np.array([one["interval"] for one in found])
    colours, markers = figures.COLOURS, figures.MARKERS
    axes.errorbar(
        x,
        mean,
        np.abs(ends - mean[:, None]).T,
        color=colours[i % len(colours)],
        marker=markers[i % len(markers)],
        markersize=4,
        linewidth=1,
        label=name,
    )


def plane(folder: pathlib.Path) -> str:
    """The SVG of gains in a first and a second task, a panel for each other choice."""
    table, metric = read_table(folder)

    def draw(axes: Any, beside: tuple[str, ...]) -> None:
        tasks = table.tasks_of(beside)
        each = {
            choice: [table.gain(beside, choice, task) for task in tasks[:2]]
            for choice in table.choices
            if (beside, choice, tasks[0]) in table.values
        }
        _points(axes, each, table.choices)
        axes.axvline(0, color=figures.INK, linewidth=0.8)
        axes.set_xlabel(f"{tasks[0]}: {metric} ahead of {table.choices[0]}")
        axes.locator_params(nbins=5)
        axes.set_ylabel(tasks[1])

    return _panels(table, draw)


def cost(folder: pathlib.Path) -> str:
    """The SVG of the tasks' mean gain over the cost of a step, both by the reference's.

    The cost is the number of products that the matrix products of a step take.
    """
    table, metric = read_table(folder)
    plan = table.plan
    made = {
        (cell.beside(plan.asked.compare), cell.choices[plan.asked.compare]): operations(
            cell.experiment
        )
        for cell in plan.cells
    }

    def draw(axes: Any, beside: tuple[str, ...]) -> None:
        tasks, first = table.tasks_of(beside), made[beside, table.choices[0]]
        each = {}
        for choice in table.choices:
            if (beside, choice) in made:
                ratio = made[beside, choice] / first
                print(f"{', '.join(beside)}: {choice} {ratio:.2f}")
                gains = [table.gain(beside, choice, task) for task in tasks]
                each[choice] = [-np.full(2, ratio), np.mean(gains, axis=0)]
        _points(axes, each, table.choices)
        axes.xaxis.set_major_formatter(lambda x, _: f"{abs(x):g}")
        axes.set_xlabel(f"matrix products of a step / those of {table.choices[0]}")
        axes.set_ylabel(f"mean {metric} ahead of {table.choices[0]}")

    return _panels(table, draw)


def operations(experiment: Experiment) -> float:
    """How many products of two numbers the matrix products of a step take.

    A loop counts as often as it runs, which the cost analysis of a compiled program
    leaves out; one whose length is not known counts once.
    """
    from ple_jax.data.loader import Loader
    from ple_jax.runs import defaults
    from ple_jax.runs.directory import prepare_data
    from ple_jax.train.trainer import trainer_of

    data = prepare_data(experiment.data)
    lone = config.with_values(experiment, {"train.seeds": 1})
    trainer = trainer_of(defaults.recorded(lone, data), data.layout)
    loader = Loader(data.split("train"), experiment.train.batch_size, 0)
    batches = trainer.prepare(loader.batches(0, 0, 1))
    return _products(trainer.steps.trace(trainer.shapes(), batches, 1).jaxpr.jaxpr)


def _products(program: Any) -> float:
    """Those of a jaxpr and of all that it calls."""
    total = 0.0
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            (summed, _), _ = equation.params["dimension_numbers"]
            size = [equation.invars[0].aval.shape[i] for i in summed]
            total += float(np.prod([*equation.outvars[0].aval.shape, *size]))
        times = equation.params.get("length", 1)
        for part in jaxprs_in_params(equation.params):
            total += times * _products(part)
    return total


def _panels(table: Table, draw: Callable[[Any, tuple[str, ...]], None]) -> str:
    """The SVG of a panel for each choice of the other axes, with one legend."""
    places = list(dict.fromkeys(beside for beside, _, _ in table.values))

    def draw_all(canvas: Any) -> None:
        row = canvas.subplots(1, len(places), squeeze=False)[0]
        for axes, beside in zip(row, places, strict=True):
            draw(axes, beside)
            axes.axhline(0, color=figures.INK, linewidth=0.8)
            axes.set_title(", ".join(beside), fontsize=10)
        names = row[0].get_legend_handles_labels()
        canvas.legend(*names, loc="outside lower center", ncols=6, frameon=False)

    height = 3.6 + 0.2 * (len(table.choices) // 6)
    title = table.plan.asked.title
    return figures.figure(title, "", draw_all, 4.2 * len(places), height).svg


def _points(axes: Any, each: dict[str, list[np.ndarray]], names: Sequence[str]) -> None:
    """Means over seeds in a plane, filled where no other is as good both ways."""
    means = np.array([[values.mean() for values in pair] for pair in each.values()])
    front = pareto_front(means)
    for (name, pair), (x, y), best in zip(each.items(), means, front, strict=True):
        ends = np.array([spread(list(values))["interval"] for values in pair])
        bars, i = np.abs(ends - [[x], [y]]), names.index(name)
        colour = figures.COLOURS[i % len(figures.COLOURS)] if i else figures.INK
        axes.errorbar(
            [x],
            [y],
            xerr=bars[:1].T,
            yerr=bars[1:].T,
            color=colour,
            marker=figures.MARKERS[(i + i // 6) % len(figures.MARKERS)],
            fillstyle="full" if best else "none",
            linestyle="",
            elinewidth=0.5,
            label=name,
        )


def gates(directory: pathlib.Path, cell: str) -> str:
    """The SVG of gate use by the first seed of a cell."""
    from ple_jax.analysis.gates import gate_use
    from ple_jax.runs.directory import open_run, trials_folder
    from ple_jax.studies.cells import CELLS

    folder = trials_folder(directory / CELLS / cell)
    first = min(folder.iterdir(), key=lambda place: place.name)
    return figures.gates(cell, gate_use(open_run(first))).svg


def write(path: pathlib.Path, svg: str) -> None:
    """Writes a figure that stands alone, in the ink of the reader's page."""
    path.write_text(svg, encoding="utf-8")
    print(f"wrote {path}")


def main() -> None:
    """Draws what is asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("lines", "plane", "cost"):
        of = kinds.add_parser(kind)
        of.add_argument("folder", type=pathlib.Path)
    of = kinds.choices["lines"]
    of.add_argument("axis")
    of.add_argument("--domain", default="")
    of.add_argument("--gain", action="store_true")
    of = kinds.add_parser("gates")
    of.add_argument("directory", type=pathlib.Path)
    of.add_argument("cell")
    of.add_argument("folder", type=pathlib.Path)
    asked = parser.parse_args()
    if asked.kind == "gates":
        name = re.sub(r"\W+", "_", asked.cell)
        svg = gates(asked.directory, asked.cell)
        return write(asked.folder / f"gates_{name}.svg", svg)
    if asked.kind in ("plane", "cost"):
        svg = {"plane": plane, "cost": cost}[asked.kind](asked.folder)
        return write(asked.folder / f"{asked.kind}.svg", svg)
    svg = lines(asked.folder, asked.axis, asked.domain, asked.gain)
    return write(asked.folder / f"{'gain' if asked.gain else 'lines'}.svg", svg)


if __name__ == "__main__":
    main()
