"""Committed results beside a fresh short run: the quickest cells, one seed each.

A seed that trains alone is not the same to the bit as among others in one program, and
another machine adds up in another order. So a number may be off by `SPREADS` deviations
over the other committed seeds, which it does not move itself, and always by `LEAST`.
"""

import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ple_jax import config
from ple_jax.config.study import Cell, Plan, load
from ple_jax.config.tuning import at
from ple_jax.config.values import read_toml
from ple_jax.metrics.paired import HEADLINES
from ple_jax.metrics.spread import spread
from ple_jax.studies import cells
from ple_jax.studies.findings import Row, rows
from ple_jax.studies.results import KNOBS, NUMBERS, read

SPREADS, LEAST = 4.0, 0.002


class Off(NamedTuple):
    """A committed number that a fresh run does not come near to."""

    row: Row
    fresh: float | None
    allowed: float

    def __str__(self) -> str:
        row = self.row
        where = ", ".join(filter(None, [*row.cell, row.split, row.domain, row.task]))
        return (
            f"{where}, {row.metric} of seed {row.seed}: {_spelled(row.value)} is "
            f"recorded, {_spelled(self.fresh)} came, and {self.allowed:.4f} is allowed"
        )


def recheck(folder: pathlib.Path, count: int = 2) -> tuple[int, list[Off]]:
    """Trains one seed of the first cells of a study again.

    Args:
        folder: That of study.toml and results.csv.
        count: How many cells.

    Returns:
        How many headlines were compared, and those that are off.

    Raises:
        ValueError: The folder has no results, or they are not of this study.
    """
    plan = load(folder / cells.STUDY)
    committed = read(folder / NUMBERS)
    _check_whole(folder, plan, committed)
    first = plan.cells[:count]
    if plan.asked.search:
        first = tuple(_searched(folder, first))
    with tempfile.TemporaryDirectory() as scratch:
        fresh = [row for cell in first for row in _trained(cell, scratch, plan)]
    compared = [row for row in fresh if row.metric in HEADLINES.values()]
    return len(compared), list(_off(committed, compared))


def _check_whole(folder: pathlib.Path, plan: Plan, committed: Sequence[Row]) -> None:
    """Raises a ValueError if the results are not of just these cells."""
    wanted = {tuple(cell.choices.values()) for cell in plan.cells}
    there = {row.cell for row in committed}
    for names, what in ((wanted - there, "lacks"), (there - wanted, "has besides")):
        if names:
            first = ", ".join(min(names))
            raise ValueError(f"{folder / NUMBERS} {what} the cell {first}.")


def _searched(folder: pathlib.Path, some: Sequence[Cell]) -> Iterator[Cell]:
    """The cells with the knobs that their searches found.

    Raises:
        ValueError: The folder does not have these knobs.
    """
    kept = read_toml(folder / KNOBS) if (folder / KNOBS).is_file() else {}
    for cell in some:
        if cell.name not in kept:
            raise ValueError(
                f"{folder / cells.STUDY} searches knobs before it trains, but "
                f"{folder / KNOBS} does not have those of the cell {cell.name}: show "
                "the study again with --resume and --out."
            )
        yield cell._replace(experiment=at(cell.experiment, kept[cell.name]))


def _trained(cell: Cell, scratch: str, plan: Plan) -> list[Row]:
    lone = config.with_values(cell.experiment, {"train.seeds": 1})
    short = cell._replace(experiment=lone)
    result = cells.train(pathlib.Path(scratch), short, 0)
    return rows(plan._replace(cells=(short,)), {short.name: result})


def _off(committed: Sequence[Row], fresh: Sequence[Row]) -> Iterator[Off]:
    seeds: dict[Row, dict[int, float | None]] = {}
    for row in committed:
        seeds.setdefault(row._replace(seed=0, value=None), {})[row.seed] = row.value
    for row in fresh:
        others = dict(seeds.get(row._replace(seed=0, value=None), {}))
        old = others.pop(row.seed, None)
        deviation = spread(list(others.values()))["standard_deviation"] or 0.0
        allowed = max(SPREADS * deviation, LEAST)
        if not _is_near(old, row.value, allowed):
            yield Off(row._replace(value=old), row.value, allowed)


def _is_near(old: float | None, new: float | None, allowed: float) -> bool:
    if old is None or new is None:
        return old is new
    return abs(old - new) <= allowed


def _spelled(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4f}"
