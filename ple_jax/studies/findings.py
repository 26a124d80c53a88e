"""What the cells of a study say together: every number in rows, and who is ahead.

Choices are compared where all else is equal, on the same rows of test and seed by seed.
Many comparisons find some difference by chance alone; so their p-values are corrected
by Holm's method, over all tasks and cells of the study.
"""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ple_jax.config.study import Cell, Plan
from ple_jax.metrics.paired import HEADLINES, turned
from ple_jax.metrics.several import holm
from ple_jax.runs.directory import Run, open_run, trials_folder
from ple_jax.runs.numbers import of_report
from ple_jax.show.results import held_out
from ple_jax.studies.cells import CELLS
from ple_jax.studies.paired import against

SIGNIFICANCE = 0.05
Results = Mapping[str, Mapping[str, Any]]  # cell -> result


class Row(NamedTuple):
    """One number of one trial; its domain is "" for all of them together."""

    cell: tuple[str, ...]  # its choices, in the order of the axes
    seed: int
    split: str
    domain: str
    task: str
    metric: str
    value: float | None


def rows(plan: Plan, results: Results) -> list[Row]:
    """The numbers of the finished cells: each seed, split, task and metric.

    A single domain has its headlines only: a data set may have hundreds of domains.
    """
    found = [
        row
        for cell in plan.cells
        if cell.name in results
        for row in _of_cell(cell, results[cell.name])
    ]
    if not plan.asked.headlines_only:
        return found
    return [r for r in found if not r.domain and r.metric in HEADLINES.values()]


def _of_cell(cell: Cell, result: Mapping[str, Any]) -> Iterator[Row]:
    choices = tuple(cell.choices.values())
    first = cell.experiment.train.seed
    for number, trial in enumerate(result["trials"].values()):
        for split in held_out(trial):
            for each in of_report(split, trial[split]):
                if not each.domain or each.metric in HEADLINES.values():
                    yield Row(choices, first + number, *each)


class Difference(NamedTuple):
    """How far a choice is ahead of the reference in a task's headline."""

    beside: tuple[str, ...]  # the choices on the other axes
    choice: str
    task: str
    found: Mapping[str, Any]  # see `metrics.paired.gain`
    p: float | None  # corrected; None if undefined

    @property
    def sign(self) -> int:
        """1 if it is ahead by more than chance, -1 if it is behind, otherwise 0."""
        if self.p is None or self.p >= SIGNIFICANCE:
            return 0
        return 1 if self.found["mean"] > 0 else -1


def differences(
    directory: pathlib.Path, plan: Plan, results: Results
) -> list[Difference]:
    """Every finished choice beside the reference of its group, p-values corrected."""
    found = [
        one
        for group in plan.compared()
        for one in _of_group(directory, plan, group, results)
    ]
    corrected = holm([one.found["p_value"] for one in found])
    return [one._replace(p=p) for one, p in zip(found, corrected, strict=True)]


def _of_group(
    directory: pathlib.Path, plan: Plan, group: Sequence[Cell], results: Results
) -> Iterator[Difference]:
    """The cells of a group beside its reference; none if that is not finished."""
    axis, first = plan.asked.compare, plan.asked.reference
    done = [cell for cell in group if cell.name in results]
    points = {c.choices[axis]: trained(directory, c, results[c.name]) for c in done}
    points = {choice: runs for choice, runs in points.items() if runs}
    if first not in points or len(points) < 2:
        return
    found = against(first, points, lambda run: run.result or {})["tasks"]
    for task, others in found.items():
        for choice, found in others.items():
            yield Difference(group[0].beside(axis), choice, task, turned(found), None)


def trained(
    directory: pathlib.Path, cell: Cell, result: Mapping[str, Any]
) -> list[Run]:
    """The runs of a cell's seeds, without those that diverged."""
    folder = trials_folder(directory / CELLS / cell.name)
    names = [n for n, trial in result["trials"].items() if "diverged" not in trial]
    return [open_run(folder / name) for name in names]
