"""A study of several trials: which train together, and what they say together.

experiment.toml   the experiment with its sweep
data/             the data set, once: trials link to it
trials/NAME/      a run directory each
checkpoints/      the state of trials that train together, while they do
result.json       each trial's table, and each point's: see `summary` and `paired`
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ple_jax import config
from ple_jax.config import sweep
from ple_jax.config.experiment import Experiment
from ple_jax.config.sweep import Sweep
from ple_jax.data.loader import Loader
from ple_jax.data.store import Prepared
from ple_jax.runs import defaults
from ple_jax.runs.directory import (
    CHECKPOINTS,
    TRIALS,
    Run,
    check_free,
    check_same,
    fill,
    new_run_directory,
    open_run,
    recorded_tree,
    run_in,
    trials_folder,
    write_result,
)
from ple_jax.runs.lock import locked
from ple_jax.studies.paired import differences
from ple_jax.studies.summary import summary
from ple_jax.train import divergence, loop, vmapped
from ple_jax.train.state import variables_of


@dataclasses.dataclass(frozen=True)
class Study:
    """The directory of a sweep, and the runs of its trials."""

    directory: pathlib.Path
    sweep: Sweep
    runs: tuple[Run, ...]


def create(directory: pathlib.Path, asked: Sweep, data: Prepared) -> Study:
    """Makes a directory with the data set and a run directory for each trial.

    Raises:
        FileExistsError: The directory is not empty.
        ValueError: A point cannot be trained; none is, so that no time is lost.
    """
    check_free(directory)
    asked = resolved(asked, data)
    for trial in {t.point: t for t in asked.trials}.values():
        loop.check(trial.experiment, data)
    runs = []
    with new_run_directory(directory) as partial:
        kept = fill(partial, asked.to_toml(), data)
        for trial in asked.trials:
            place = pathlib.Path(TRIALS) / trial.name
            own = fill(partial / place, config.to_toml(trial.experiment), kept)
            runs.append(run_in(directory / place, trial.experiment, own))
    return Study(directory, asked, tuple(runs))


def resolved(asked: Sweep, data: Prepared) -> Sweep:
    """The sweep whose trials have numbers where they say `auto`.

    Where knobs are swept the base keeps it, since what it means may hang on them.
    """
    number = lambda experiment: defaults.recorded(experiment, data)
    trials = [t._replace(experiment=number(t.experiment)) for t in asked.trials]
    base = asked.base if asked.lists else number(asked.base)
    return asked._replace(base=base, trials=tuple(trials))


def recorded(directory: pathlib.Path) -> Sweep:
    """The sweep that a directory holds."""
    base, lists = sweep.taken(recorded_tree(directory))
    of_name = lambda name: open_run(trials_folder(directory) / name).experiment
    return sweep.recorded(config.from_dict(base), lists, of_name)


def open_study(directory: pathlib.Path, asked: Sweep) -> Study:
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
    runs = [open_run(folder / name) for name in wanted]
    for run, trial in zip(runs, asked.trials, strict=True):
        check_same(run, trial.experiment)
    return Study(directory, asked, tuple(runs))


def fit(study: Study, resume: bool = False, strict: bool = False) -> dict[str, Any]:
    """Trains all trials; returns and writes their tables and each point's summary.

    Trials that one program can train go together; the groups follow one another.

    Args:
        study: What to train.
        resume: Whether to continue each group from its newest whole checkpoint.
        strict: Whether to refuse if that is not the newest of all.

    Raises:
        Stopped: A signal came; the study can be resumed where it stopped.
        FloatingPointError: All trials diverged.
        ValueError: Another process is training it, or what it resumes from is damaged.
    """
    with locked(study.directory):
        return _fit(study, resume, strict)


def _fit(study: Study, resume: bool, strict: bool) -> dict[str, Any]:
    results: dict[str, dict[str, Any]] = {}
    for group in together(study.runs):
        names = [run.directory.name for run in group]
        each = [run.result for run in group if run.result is not None]
        if not resume or len(each) < len(group):
            folder = study.directory / CHECKPOINTS / names[0]
            each = loop.fit_group(group, folder, resume, strict)
        else:
            with locked(group[0].directory):  # a kill may have left its owner there
                pass
        results |= dict(zip(names, each, strict=True))
    shutil.rmtree(study.directory / CHECKPOINTS, ignore_errors=True)  # empty by now
    if all("diverged" in result for result in results.values()):
        first = min(result["diverged"] for result in results.values())
        raise divergence.error(first, "all trials did, none earlier")
    ordered = {trial.name: results[trial.name] for trial in study.sweep.trials}
    result = {"trials": ordered, **summary(study.sweep, ordered)}
    if against := _differences(study, results):
        result["differences"] = against
    write_result(study.directory, result)
    return result


def _differences(study: Study, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How far the best point is ahead of the others; without trials that diverged."""
    points: dict[str, list[Run]] = {}
    for run, trial in zip(study.runs, study.sweep.trials, strict=True):
        if "diverged" not in results[trial.name]:
            points.setdefault(trial.point, []).append(run)
    if len(points) < 2:
        return {}
    done = [run for runs in points.values() for run in runs]
    return differences(points, together(done), results)


def together(runs: Sequence[Run]) -> list[list[Run]]:
    """Groups of runs that differ only in seeds and in knobs that can be traced.

    A knob can be traced if its values are nonzero floats, or equally long lists of
    floats, and a step traces with it: so it decides neither a shape nor a branch of
    Python. A 0 goes apart, since it may leave a part of the program out.
    """
    flat = {one.directory: config.flat(one.experiment) for one in runs}
    paths = sorted({k for f in flat.values() for k in f} - {sweep.SEED})

    def split(group: Sequence[Run], path: str) -> list[list[Run]]:
        """The group by the values of a knob, or whole if they can be traced."""
        each = [flat[one.directory].get(path) for one in group]
        if all(value == each[0] for value in each) or is_traceable(group, path):
            return [list(group)]
        return grouped(group, each)

    kinds = [[kind_of(flat[one.directory].get(p)) for p in paths] for one in runs]
    groups = grouped(runs, kinds)
    for path in paths:
        groups = [part for group in groups for part in split(group, path)]
    return groups


def grouped(runs: Sequence[Run], keys: Sequence[Any]) -> list[list[Run]]:
    """The runs of each key, in order."""
    groups: dict[str, list[Run]] = {}
    for one, key in zip(runs, keys, strict=True):
        groups.setdefault(repr(key), []).append(one)
    return list(groups.values())


def kind_of(value: Any) -> Any:
    """What the values of one group must share: all but the numbers to be traced."""
    if isinstance(value, float) and value != 0:
        return "a number"
    if isinstance(value, list) and value and all(isinstance(v, float) for v in value):
        return f"{len(value)} numbers"
    return value


def is_traceable(group: Sequence[Run], path: str) -> bool:
    """Whether a step can be traced without knowing this knob."""
    first, data = group[0].experiment, group[0].data
    of_group = [config.flat(one.experiment)[path] for one in group]
    other = next(v for v in of_group if v != config.flat(first)[path])
    pair = [first, config.with_values(first, {path: vmapped.as_tuple(other)})]
    return _traces(pair, data)


def _traces(experiments: Sequence[Experiment], data: Prepared) -> bool:
    loader = Loader(data.split("train"), experiments[0].train.batch_size, 0)
    trainer = vmapped.trainer_of(experiments, data.layout, shared=True)
    try:
        state, batches = trainer.shapes(), loader.batches(0, 0, 1)
        jax.eval_shape(trainer.steps, state, batches, 1)
        jax.eval_shape(trainer.score, variables_of(state), batches.at(np.array(0)))
    # JAX raises the first if a value must be known, Python the second if it indexes.
    except (TypeError, IndexError):
        return False
    return True
