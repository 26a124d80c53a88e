"""A run of several replicas: which train together, and what they say together.

experiment.toml   the experiment, with its sweep
data/             the data set, once: replicas have links to it
replicas/NAME/    a run directory each
checkpoints/      of replicas that train together, while they do
result.json       each replica's table, and each point's mean and spread
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ple_jax import config
from ple_jax.config import sweep
from ple_jax.config.experiment import Experiment
from ple_jax.config.sweep import Sweep
from ple_jax.data.loader import Loader
from ple_jax.data.store import Prepared
from ple_jax.metrics.spread import spread_by_task
from ple_jax.runs.directory import (
    CHECKPOINTS,
    DATA,
    EXPERIMENT,
    REPLICAS,
    Run,
    check_free,
    check_same,
    create_run,
    experiment_file,
    open_run,
    write_result,
)
from ple_jax.train import group as replica_loop
from ple_jax.train import loop, vmapped
from ple_jax.train.state import variables_of


@dataclasses.dataclass(frozen=True)
class Study:
    """The directory of a sweep, and its replicas' runs."""

    directory: pathlib.Path
    sweep: Sweep
    runs: tuple[Run, ...]


def create(directory: pathlib.Path, asked: Sweep, data: Prepared) -> Study:
    """A new directory, with the data set and a run directory for each replica.

    Raises:
        FileExistsError: There is something in the directory already.
        ValueError: A point cannot be trained; that is better known before the others.
    """
    check_free(directory)
    for replica in {r.point: r for r in asked.replicas}.values():
        loop.check(replica.experiment, data)
    directory.mkdir(parents=True, exist_ok=True)
    kept = data.copy_to(directory / DATA)
    runs = [
        create_run(directory / REPLICAS / r.name, r.experiment, kept)
        for r in asked.replicas
    ]
    # Last, so that a directory that has it is whole.
    (directory / EXPERIMENT).write_text(asked.to_toml(), encoding="utf-8")
    return Study(directory, asked, tuple(runs))


def recorded(directory: pathlib.Path) -> Sweep:
    """The sweep that a directory holds."""
    base, lists = sweep.taken(config.load(experiment_file(directory)))
    of_name = lambda name: open_run(directory / REPLICAS / name).experiment
    return sweep.recorded(config.from_dict(base), lists, of_name)


def open_study(directory: pathlib.Path, asked: Sweep) -> Study:
    """An existing directory, of just this sweep.

    Raises:
        ValueError: It is of one run, its replicas are others, or differ in a knob.
    """
    if not (directory / REPLICAS).is_dir():
        raise ValueError(
            f"{directory} cannot be resumed as a sweep: it has no folder {REPLICAS!r}."
        )
    wanted = [r.name for r in asked.replicas]
    there = sorted(p.name for p in (directory / REPLICAS).iterdir())
    if sorted(wanted) != there:
        raise ValueError(
            f"{directory} cannot be resumed with other replicas (recorded -> asked): "
            f"{', '.join(there)} -> {', '.join(wanted)}."
        )
    runs = [open_run(directory / REPLICAS / name) for name in wanted]
    for recorded, replica in zip(runs, asked.replicas, strict=True):
        check_same(recorded, replica.experiment)
    return Study(directory, asked, tuple(runs))


def fit(study: Study, resume: bool = False) -> dict[str, Any]:
    """Trains all replicas; returns, and writes, their tables and each point's summary.

    Those that one program can train go together; the groups go one after another.

    Raises:
        Stopped: A signal came; the study can be resumed where it stopped.
        FloatingPointError: All replicas diverged.
    """
    results: dict[str, dict[str, Any]] = {}
    for group in together(study.runs):
        names = [one.directory.name for one in group]
        found = [one.result for one in group if one.result is not None]
        if resume and len(found) == len(group):
            results |= dict(zip(names, found, strict=True))
            continue
        folder = study.directory / CHECKPOINTS / names[0]
        each = replica_loop.fit(group, folder, resume)
        results |= dict(zip(names, each, strict=True))
    shutil.rmtree(study.directory / CHECKPOINTS, ignore_errors=True)  # empty by now
    if all("diverged" in result for result in results.values()):
        step = min(result["diverged"] for result in results.values())
        raise FloatingPointError(
            f"Training diverged, in all replicas, the first before step {step}. Lower "
            "train.learning_rate, or set train.clip_norm."
        )
    ordered = {r.name: results[r.name] for r in study.sweep.replicas}
    result = {"replicas": ordered, "points": summary(study.sweep, ordered)}
    write_result(study.directory, result)
    return result


def together(runs: Sequence[Run]) -> list[list[Run]]:
    """Groups of runs that differ only in seeds and in knobs that can be traced.

    A knob can be where its values are numbers, or as many numbers each, none of which
    is a 0 that leaves a part out, and where a step can be traced with it: so where it
    decides neither a shape nor a branch of Python.
    """
    flat = {one.directory: config.flat(one.experiment) for one in runs}
    paths = sorted({k for f in flat.values() for k in f} - {sweep.SEED})

    def split(group: Sequence[Run], path: str) -> list[list[Run]]:
        """By the values of a knob, unless they can be traced."""
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
    """What runs of one group must have in common: all of a value but its number."""
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
        state, batches = jax.eval_shape(trainer.init), loader.batches(0, 0, 1)
        jax.eval_shape(trainer.steps, state, batches, 1)
        jax.eval_shape(trainer.score, variables_of(state), batches.at(np.array(0)))
    # What JAX raises where a value must be known, and Python where it cannot be used.
    except (TypeError, IndexError):
        return False
    return True


def summary(asked: Sweep, results: Mapping[str, Any]) -> dict[str, Any]:
    """Point -> split -> task -> metric -> `spread` over its replicas.

    Those that diverged are left out.
    """
    points: dict[str, list[dict[str, Any]]] = {}
    for replica in asked.replicas:
        of_point = points.setdefault(replica.point, [])
        result = results[replica.name]
        if "diverged" not in result:
            of_point.append(result)
    splits = ("validation", "test")
    return {
        point: {s: spread_by_task([r[s]["tasks"] for r in of_point]) for s in splits}
        for point, of_point in points.items()
    }
