"""The directory of a sweep: its trials, trained, and what they say together.

experiment.toml   the experiment with its sweep
data/             the data set, once: trials link to it
trials/NAME/      a run directory each
checkpoints/      the state of trials that train together, while they do
result.json       each trial's table, and each point's: see `summary` and `paired`
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Collection
from typing import Any

from ple_jax import config, sinks
from ple_jax.config import sweep
from ple_jax.config.sweep import Sweep
from ple_jax.data.store import Prepared
from ple_jax.parallel import processes
from ple_jax.runs import defaults
from ple_jax.runs.directory import (
    CHECKPOINTS,
    TRIALS,
    Run,
    check_free,
    experiment_file,
    fill,
    new_run_directory,
    open_run,
    recorded_tree,
    run_in,
    same_run,
    trials_folder,
    write_result,
)
from ple_jax.studies.paired import differences, score_share
from ple_jax.studies.summary import summary
from ple_jax.train import divergence, loop
from ple_jax.train.grouping import together
from ple_jax.train.loop import locked_by_first


@dataclasses.dataclass(frozen=True)
class SweepDirectory:
    """The directory of a sweep, and the runs of its trials."""

    directory: pathlib.Path
    sweep: Sweep
    runs: tuple[Run, ...]


def create(directory: pathlib.Path, asked: Sweep, data: Prepared) -> SweepDirectory:
    """Makes a directory with the data set and a run directory for each trial.

    Raises:
        FileExistsError: The directory is not empty.
        ValueError: A point cannot be trained; none is, so that no time is lost.
    """
    check_free(directory)
    asked = resolved(asked, data)
    for trial in {t.point: t for t in asked.trials}.values():
        loop.check(trial.experiment, data)
        sinks.check(trial.experiment.train.sinks)
    runs = []
    with new_run_directory(directory) as partial:
        kept = fill(partial, asked.to_toml(), data)
        for trial in asked.trials:
            place = pathlib.Path(TRIALS) / trial.name
            own = fill(partial / place, config.to_toml(trial.experiment), kept)
            runs.append(run_in(directory / place, trial.experiment, own))
    return SweepDirectory(directory, asked, tuple(runs))


def resolved(asked: Sweep, data: Prepared) -> Sweep:
    """The sweep whose trials have numbers where they say `auto`.

    Where knobs are swept the base keeps it, since what it means may hang on them.
    """
    number = lambda experiment: defaults.recorded(experiment, data)
    trials = [t._replace(experiment=number(t.experiment)) for t in asked.trials]
    base = asked.base if asked.lists else number(asked.base)
    base = config.with_values(base, {"train.distributed": ""})
    return asked._replace(base=base, trials=tuple(trials))


def recorded(directory: pathlib.Path) -> Sweep:
    """The sweep that a directory holds."""
    base, lists = sweep.taken(recorded_tree(directory))
    of_name = lambda name: open_run(trials_folder(directory) / name).experiment
    return sweep.recorded(config.from_dict(base), lists, of_name)


def open_sweep(directory: pathlib.Path, asked: Sweep) -> SweepDirectory:
    """Opens the directory of just this sweep.

    Raises:
        ValueError: It is of one run, its trials are others, or differ in a knob.
    """
    folder = trials_folder(directory)
    if not folder.is_dir():
        raise ValueError(
            f"{directory} cannot be resumed as a sweep: it has no folder "
            f"{folder.name!r}."
        )
    wanted = [trial.name for trial in asked.trials]
    there = sorted(path.name for path in folder.iterdir())
    if sorted(wanted) != there:
        raise ValueError(
            f"{directory} cannot be resumed with other trials (recorded -> asked): "
            f"{', '.join(there)} -> {', '.join(wanted)}."
        )
    recorded = [open_run(folder / name) for name in wanted]
    open_knobs, runs = left_open(directory, asked), []
    for run, trial in zip(recorded, asked.trials, strict=True):
        then = config.flat(run.experiment)
        values = {path: then[path] for path in open_knobs if path in then}
        runs.append(same_run(run, config.with_values(trial.experiment, values)))
    return SweepDirectory(directory, asked, tuple(runs))


def left_open(directory: pathlib.Path, asked: Sweep) -> list[str]:
    """Knobs that are younger than a sweep's record, and that `asked` leaves open.

    By `config.with_values_of_then` its base has the value of then. Trials may have
    another: a kind of model that had the knob before others is recorded with it.
    """
    record = config.load_as_written(experiment_file(directory))
    _, then = config.with_values_of_then(record, record)
    base = config.flat(asked.base)
    is_open = lambda path: base.get(path) == then[path] and path not in asked.lists
    return list(filter(is_open, then))


def fit(
    made: SweepDirectory, resume: bool = False, strict: bool = False
) -> dict[str, Any]:
    """Trains all trials; returns and writes their tables and each point's summary.

    Trials that one program can train go together; the groups follow one another.

    Args:
        made: What to train.
        resume: Whether to continue each group from its newest whole checkpoint.
        strict: Whether to refuse if that is not the newest of all.

    Raises:
        Stopped: A signal came; the sweep can be resumed where it stopped.
        FloatingPointError: All trials diverged.
        ValueError: Another process is training it, or what it resumes from is damaged.
    """
    with locked_by_first(made.directory):
        return _fit(made, resume, strict)


def _fit(made: SweepDirectory, resume: bool, strict: bool) -> dict[str, Any]:
    results: dict[str, dict[str, Any]] = {}
    for group in together(made.runs):
        names = [run.directory.name for run in group]
        each = [run.result or {} for run in group]
        if processes.from_first(resume and all(each)):
            with locked_by_first(group[0].directory):  # a kill may have left its owner
                pass
        else:
            folder = made.directory / CHECKPOINTS / names[0]
            each = loop.fit_group(group, folder, resume, strict)
        results |= dict(zip(names, each, strict=True))
    lost = {name: r["diverged"] for name, r in results.items() if "diverged" in r}
    lost = processes.from_first(lost)
    if len(lost) == len(results):
        raise divergence.error(min(lost.values()), "all trials did, none earlier")
    against = _differences(made, results, lost)
    if not processes.is_first():
        return {}
    shutil.rmtree(made.directory / CHECKPOINTS, ignore_errors=True)  # empty by now
    ordered = {trial.name: results[trial.name] for trial in made.sweep.trials}
    result = {"trials": ordered, **summary(made.sweep, ordered)}
    if against:
        result["differences"] = against
    write_result(made.directory, result)
    return result


def _differences(
    made: SweepDirectory, results: dict[str, dict[str, Any]], lost: Collection[str]
) -> dict[str, Any]:
    """How far the best point is ahead of the others; without trials that diverged.

    The first process compares; the others only score their share, and return {}.
    """
    points: dict[str, list[Run]] = {}
    for run, trial in zip(made.runs, made.sweep.trials, strict=True):
        if trial.name not in lost:
            points.setdefault(trial.point, []).append(run)
    if processes.is_first():
        return differences(points, results)
    score_share(points)
    return {}
