"""How does the cost of a step grow with tasks, domains, fields, batch, and the rest?

    python benchmarks/growth.py [--axes NAME ...] [--models NAME ...] [--json]
        [--remat] [--time [--environment DIR]] [--records FILE] [--plot FILE]

Along each axis one size changes and the others stay as in `step_vs_peers.py`, but for
tables of 1,000 rows a field, which are updated whole. The table shows what the compiled
step computes (`ple_jax.plans.program`), as a multiple of what the model's equations
need (`lib/needs.py`); the temporary memory that the compiler plans, as a multiple of
the activations that the backward pass reads and the slopes of all parameters; and the
state that is donated. All this is known without running.

`--time` also measures the step, in turn with our own fast PyTorch (`peers/strong.py`,
PLE and MMoE of one domain; the faster of eager and compiled, with the Python of
`--environment`, or else this one; left out where that has no PyTorch), and the floor:
the longer of the operations at the rate of a large product and the bytes at the rate of
a copy. With domains, each owns its tasks' gates, experts and towers where the model can
(`groups = "tasks_domains"`).

`--records` keeps what is measured in a file, point by point, and measures no point that
the file has; `--plot` draws all of them. So a long run may be done in parts.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lib import cost, floor, needs, report
from lib.beside import Turns
from lib.figure import draw
from lib.report import Record
from lib.sizes import Size

BASE = Size(1000)
AXES = {
    "tasks": (1, 2, 4, 8, 16, 32, 64),
    "domains": (1, 4, 16, 64, 256, 1000),
    "fields": (8, 16, 32, 128, 512),
    "batch": (512, 4096, 16_384, 65_536),
    "experts": (1, 2, 4, 8, 16),
    "width": (16, 64, 256, 1024),
    "levels": (1, 2, 3, 4),
}


class Point(NamedTuple):
    """One model at one place of one axis."""

    axis: str
    value: int
    model: str


def main() -> None:
    """Print a table of all points."""
    asked = arguments()
    file = pathlib.Path(asked.records) if asked.records else None
    known = json.loads(file.read_text()) if file and file.exists() else []
    kept = {Point(r["axis"], r["value"], r["model"]): r for r in known}
    for point in points(asked):
        if point not in kept or (asked.time and "ms" not in kept[point]):
            record = same_size(point, kept, asked) or measured(point, asked)
            kept[point] = record | point._asdict()
            print(f"{point.axis} {point.value}, {point.model}: done", file=sys.stderr)
            if file:
                file.write_text(json.dumps(list(kept.values()), indent=1))
    results = [kept[point] for point in points(asked)]
    if asked.plot:
        draw(sorted(kept.values(), key=lambda r: r["value"]), asked.plot)
    report.show("growth of a step", results, asked.json)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = report.command(__doc__)
    add = parser.add_argument
    add("--axes", nargs="+", choices=AXES, default=list(AXES))
    add("--values", nargs="+", type=int, help="instead of an axis's own values")
    add("--models", nargs="+", choices=needs.MODELS, default=["ple", "mmoe"])
    add("--batch", type=int, default=BASE.batch, help="examples in a step")
    add("--remat", action="store_true", help="count steps with train.remat")
    add("--time", action="store_true", help="measure the step, PyTorch and the floor")
    add("--environment", default=sys.prefix, help="the DIR of peers/environment.sh")
    add("--rounds", type=int, default=3)
    add("--steps", type=int, default=3)
    add("--records", metavar="FILE", help="keep what is measured, and measure the rest")
    add("--plot", metavar="FILE", help="draw ours, PyTorch and the floor by axis")
    asked = parser.parse_args()
    if asked.quick:
        asked.axes, asked.values, asked.models = ["tasks"], [1, 3], ["mmoe"]
        asked.batch, asked.rounds, asked.steps = 64, 1, 1
    return asked


def points(asked: argparse.Namespace) -> Iterator[Point]:
    """All points that are asked for."""
    for axis in asked.axes:
        for value in asked.values or AXES[axis]:
            yield from (Point(axis, value, model) for model in asked.models)


def at(axis: str, value: int, batch: int) -> Size:
    """The base size with another value along an axis."""
    base = dataclasses.replace(BASE, batch=batch)
    groups = "tasks_domains" if value > 1 else "tasks"
    changes = {
        "domains": {"domains": value, "groups": groups},
        "experts": {"own": value, "shared": value, "experts": 4 * value},
        "width": {"expert_dims": (value,)},
    }
    return dataclasses.replace(base, **changes.get(axis, {axis: value}))


def same_size(
    point: Point, kept: Mapping[Point, Record], asked: argparse.Namespace
) -> Record | None:
    """The record of a point of another axis that has the same size."""
    size = at(point.axis, point.value, asked.batch)
    for other, record in kept.items():
        same = at(other.axis, other.value, asked.batch) == size
        if same and other.model == point.model and ("ms" in record or not asked.time):
            return record
    return None


def measured(point: Point, asked: argparse.Namespace) -> Record:
    """What a point costs, and what it takes if that is asked."""
    size, model = at(point.axis, point.value, asked.batch), point.model
    record = point._asdict() | cost.record(model, size, asked.remat)
    if not asked.time:
        return record
    with Turns(model, size, f"{asked.environment}/bin/python") as turns:
        record |= turns.medians(asked.rounds, asked.steps)
    return record | {"floor, ms": 1e3 * floor.seconds(floor.work(model, size))}


if __name__ == "__main__":
    main()
