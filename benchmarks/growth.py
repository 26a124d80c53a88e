"""How does the cost of a step grow with tasks, domains, fields, batch, and the rest?

    python benchmarks/growth.py [--axes NAME ...] [--models NAME ...] [--json]
        [--time [--environment DIR]] [--plot FILE]

Along each axis one size changes and the others stay as in `step_vs_peers.py`, but for
tables of 1,000 rows a field, which are updated whole. The table shows what the compiled
step computes (`lib/program.py`), as a multiple of what the model's equations need
(`lib/needs.py`); the temporary memory that the compiler plans, as a multiple of the
activations that the backward pass reads and the slopes of all parameters; and the state
that is donated. All this is known without running.

`--time` also measures the step, in turn with our own fast PyTorch (`peers/strong.py`,
PLE and MMoE of one domain; the faster of eager and compiled, with the Python of
`--environment`, or else this one), and the floor: the longer of the operations at the
rate of a large product and the bytes at the rate of a copy. With domains, each owns its
tasks' gates, experts and towers where the model can (`groups = "tasks_domains"`).
"""

import argparse
import dataclasses
import sys

from lib import cost, needs, problem, report
from lib.beside import Turns, floor
from lib.report import Record
from lib.sizes import Size

BASE = Size(1000)
AXES = {
    "tasks": (1, 2, 4, 8, 16, 32, 64),
    "domains": (1, 4, 16, 64, 256, 1000),
    "fields": (8, 32, 128, 512),
    "batch": (512, 4096, 16_384, 65_536),
    "experts": (1, 2, 4, 8, 16),
    "width": (16, 64, 256, 1024),
    "levels": (1, 2, 3, 4),
}


def main() -> None:
    """Print a table for each axis."""
    asked = arguments()
    records = []
    for axis in asked.axes:
        for value in asked.values or AXES[axis]:
            size = at(axis, value, asked.batch)
            for model in asked.models:
                record = {"axis": axis, "value": value, "model": model}
                record |= cost.record(model, size)
                records.append(
                    record | (timed(model, size, asked) if asked.time else {})
                )
                print(f"{axis} {value}, {model}: counted", file=sys.stderr)
    report.show("growth of a step", records, asked.json)
    if asked.plot:
        plot(records, asked.plot)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = report.command(__doc__)
    add = parser.add_argument
    add("--axes", nargs="+", choices=AXES, default=list(AXES))
    add("--values", nargs="+", type=int, help="instead of an axis's own values")
    add("--models", nargs="+", choices=needs.MODELS, default=["ple", "mmoe"])
    add("--batch", type=int, default=BASE.batch, help="examples in a step")
    add("--time", action="store_true", help="measure the step, PyTorch and the floor")
    add("--environment", default=sys.prefix, help="the DIR of peers/environment.sh")
    add("--rounds", type=int, default=3)
    add("--steps", type=int, default=3)
    add("--plot", metavar="FILE", help="draw ours, PyTorch and the floor by axis")
    asked = parser.parse_args()
    if asked.quick:
        asked.axes, asked.values, asked.models = ["tasks"], [1, 3], ["mmoe"]
        asked.batch, asked.rounds, asked.steps = 64, 1, 1
    return asked


def at(axis: str, value: int, batch: int) -> Size:
    """The base size with another value along an axis."""
    base = dataclasses.replace(BASE, batch=batch)
    changes = {
        "domains": {"domains": value, "groups": "tasks_domains"},
        "experts": {"own": value, "shared": value, "experts": 4 * value},
        "width": {"expert_dims": (value,)},
    }
    return dataclasses.replace(base, **changes.get(axis, {axis: value}))


def timed(model: str, size: Size, asked: argparse.Namespace) -> Record:
    """Median ms of our step and of PyTorch's, taken in turn, and the floor."""
    options = problem.options_of(model, size)
    with Turns(model, size, f"{asked.environment}/bin/python") as turns:
        taken = turns.medians(asked.rounds, asked.steps)
    work = needs.operations(model, size, options), needs.traffic(model, size, options)
    return taken | {"floor, ms": 1e3 * floor(*work)}


def plot(records: list[Record], path: str) -> None:
    """A panel for each axis and model: times if they were measured, else operations."""
    from matplotlib.figure import Figure  # not needed otherwise

    panels = list(dict.fromkeys((r["axis"], r["model"]) for r in records))
    figure = Figure(figsize=(4 * len(panels), 4), layout="constrained")
    for i, (axis, model) in enumerate(panels):
        of_panel = [r for r in records if (r["axis"], r["model"]) == (axis, model)]
        axes = figure.add_subplot(1, len(panels), i + 1, title=model, xlabel=axis)
        axes.set(xscale="log", yscale="log")
        for name, label in LINES.items():
            points = [(r["value"], r[name]) for r in of_panel if r.get(name)]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=label)
        axes.legend()
    figure.savefig(path)


LINES = {
    "ms": "ours, ms",
    "PyTorch, ms": "PyTorch, ms",
    "floor, ms": "floor, ms",
    "GFLOP": "GFLOP",
}

if __name__ == "__main__":
    main()
