"""Every number of a run, of a sweep, or of a study as one tidy table.

A row has one number. Its columns:

run      text   the trial, such as `seed=0`; of a study after its cell, `ple/seed=0`
seed     int    `train.seed` of the trial
step     int    how many steps were trained when it was measured
epoch    int    how many epochs, the one of the row included
best     bool   whether this is the epoch that the trial keeps, of so far the best
split    text   `train`, `validation` or `test`; test at the best epoch alone
domain   text   "" for all domains together
task     text   "" for all tasks together
metric   text   its name, such as `auc_roc`
value    float  null where it is undefined

All tasks together have `loss` and `examples_per_second` on train, and on validation
`score`, by which the best epoch is chosen: higher is better. Between `run` and `seed` a
sweep has a column for each knob that differs, by its dotted path, and a study one for
each of its axes, with the choice.
"""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from ple_jax import config
from ple_jax.config import study as plans
from ple_jax.config.experiment import Experiment
from ple_jax.config.sweep import SEED
from ple_jax.runs.directory import (
    METRICS,
    read_result,
    recorded_tree,
    trials_folder,
)
from ple_jax.runs.journal import read_records
from ple_jax.runs.numbers import of_epoch, of_result
from ple_jax.studies.cells import CELLS, STUDY

COLUMNS = pa.schema(
    {
        "run": pa.string(),
        "seed": pa.int64(),
        "step": pa.int64(),
        "epoch": pa.int64(),
        "best": pa.bool_(),
        "split": pa.string(),
        "domain": pa.string(),
        "task": pa.string(),
        "metric": pa.string(),
        "value": pa.float64(),
    }
)


class Trial(NamedTuple):
    """A run among others."""

    name: str
    beside: Mapping[str, Any]  # name of a further column -> value
    directory: pathlib.Path


def tidy(directory: pathlib.Path) -> pa.Table:
    """The table of a directory; of trials that are not finished, their epochs so far.

    Raises:
        ValueError: It is of no run, sweep or study, or is damaged.
    """
    is_study = (directory / STUDY).is_file()
    trials = list(_of_study(directory) if is_study else _of_runs(directory))
    names = dict.fromkeys(name for trial in trials for name in trial.beside)
    more = {n: _column([trial.beside.get(n) for trial in trials]) for n in names}
    parts = [COLUMNS.empty_table()] if not trials else []
    for i, trial in enumerate(trials):
        part = _numbers(trial)
        for place, (name, values) in enumerate(more.items(), 1):
            part = part.add_column(place, name, pa.repeat(values[i], len(part)))
        parts.append(part)
    return pa.concat_tables(parts)


def _of_study(directory: pathlib.Path) -> Iterator[Trial]:
    """The trials of the cells that have begun."""
    for cell in plans.load(directory / STUDY).cells:
        place = directory / CELLS / cell.name
        if place.is_dir():
            for trial in _of_runs(place):
                yield Trial(f"{cell.name}/{trial.name}", cell.choices, trial.directory)


def _of_runs(directory: pathlib.Path) -> Iterator[Trial]:
    """The trials of a sweep with the knobs that differ, or a lone run."""
    recorded_tree(directory)  # says what is no run directory
    folder = trials_folder(directory)
    if not folder.is_dir():
        yield Trial(directory.resolve().name, {}, directory)
        return
    each = {run: config.flat(_experiment(run)) for run in sorted(folder.iterdir())}
    paths = sorted({path for knobs in each.values() for path in knobs} - {SEED})
    values = lambda path: [knobs.get(path) for knobs in each.values()]
    differ = [p for p in paths if any(v != values(p)[0] for v in values(p))]
    for run, knobs in each.items():
        yield Trial(run.name, {path: knobs.get(path) for path in differ}, run)


def _experiment(directory: pathlib.Path) -> Experiment:
    return config.from_dict(recorded_tree(directory))


def _column(values: Sequence[Any]) -> pa.Array:
    """The values as numbers if all are, and otherwise as text."""
    if {type(value) for value in values} <= {int, float, type(None)}:
        return pa.array(values)
    return pa.array([None if value is None else str(value) for value in values])


def _numbers(trial: Trial) -> pa.Table:
    """All numbers of a trial."""
    seed = _experiment(trial.directory).train.seed
    rows = [(trial.name, seed, *row) for row in _rows(trial.directory)]
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    return pa.table([list(column) for column in columns], schema=COLUMNS)


def _rows(directory: pathlib.Path) -> Iterator[tuple[Any, ...]]:
    """Step, epoch, best, and what a number is of: of the journal, and then of test."""
    epochs = [r for r in read_records(directory / METRICS) if "epoch" in r]
    best = max((r["step"] for r in epochs if r.get("improved")), default=None)
    for record in epochs:
        for number in of_epoch(record):
            step = record["step"]
            yield step, record["epoch"] + 1, step == best, *number
    result = read_result(directory) or {}
    of_step = {record["step"]: record["epoch"] + 1 for record in epochs}
    step = result.get("step")
    for number in of_result(result):
        if number.split == "test" or step not in of_step:
            yield step, of_step.get(step), True, *number
