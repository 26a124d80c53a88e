"""The cells of a planned study, trained one by one, each from where it stopped.

study.toml         the study file, as it was given
cells/NAME/        a cell: the directory of its seeds, as of a sweep
search/NAME/       the search for its knobs, if there is one
results.csv        a row for each number: see `findings.rows`
knobs.toml         those that the searches found: see `found_knobs`
results.md         tables for people
"""

import pathlib
from typing import Any

from ple_jax import config
from ple_jax.config import sweep
from ple_jax.config.experiment import Experiment
from ple_jax.config.study import Cell, Plan
from ple_jax.data.store import Prepared
from ple_jax.disk import replace_file
from ple_jax.runs.directory import (
    check_free,
    prepare_data,
    read_result,
    recorded_tree,
    trials_folder,
    write_result,
)
from ple_jax.show.console import Stopwatch
from ple_jax.studies import sweeps

STUDY, CELLS, SEARCH = "study.toml", "cells", "search"


def create(directory: pathlib.Path, file: pathlib.Path) -> None:
    """Makes the directory of a study.

    Raises:
        FileExistsError: The directory is not empty.
    """
    check_free(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CELLS).mkdir()
    with replace_file(directory / STUDY) as partial:
        partial.write_bytes(file.read_bytes())


def check_same(directory: pathlib.Path, file: pathlib.Path) -> None:
    """Raises a ValueError if a directory is not that of this study file."""
    kept = directory / STUDY
    if not kept.is_file():
        raise ValueError(f"{directory} is not the directory of a study.")
    if kept.read_bytes() != file.read_bytes():
        raise ValueError(
            f"{directory} is of another study: {kept} is not the same as {file}. Name "
            "another --run-dir."
        )


def result_of(directory: pathlib.Path, cell: Cell) -> dict[str, Any] | None:
    """The result of a cell; None before its end."""
    place = directory / CELLS / cell.name
    result = read_result(place) if place.is_dir() else None
    return result if result and "seconds" in result else None


def finished(directory: pathlib.Path, plan: Plan) -> dict[str, dict[str, Any]]:
    """The results of the cells that have come to their end, by name."""
    found = {cell.name: result_of(directory, cell) for cell in plan.cells}
    return {name: result for name, result in found.items() if result}


def train(directory: pathlib.Path, cell: Cell, search: int) -> dict[str, Any]:
    """Trains the seeds of a cell, on from where they stopped; returns their result.

    The result also has "seconds", those of the last attempt.

    Args:
        directory: Of the study.
        cell: What is trained.
        search: How many trials its knobs are searched with before.

    Raises:
        Stopped: A signal came.
        ValueError: It cannot be trained, or another process is training it.
    """
    place, watch = directory / CELLS / cell.name, Stopwatch()
    data, experiment = prepare_data(cell.experiment.data), cell.experiment
    if search:
        experiment = searched(directory / SEARCH / cell.name, experiment, data, search)
    asked = of_seeds(experiment)
    if place.is_dir():
        chosen = sweeps.open_sweep(place, asked)
    else:
        chosen = sweeps.create(place, asked, data)
    result = sweeps.fit(chosen, resume=True) | {"seconds": watch.seconds}
    write_result(place, result)
    return result


def found_knobs(directory: pathlib.Path, cell: Cell) -> dict[str, Any]:
    """Dotted path -> value, where a finished cell was trained by others than its own.

    They are those that its search found, and numbers where the study file has `auto`.
    """
    folder = trials_folder(directory / CELLS / cell.name)
    trial = config.from_dict(recorded_tree(min(folder.iterdir())))
    asked, used = config.flat(cell.experiment), config.flat(trial)
    seeds = {sweep.SEED, "train.seeds"}
    return {
        path: value
        for path, value in used.items()
        if value != asked.get(path) and value is not None and path not in seeds
    }


def of_seeds(experiment: Experiment) -> sweep.Sweep:
    """The trials of an experiment: one for each of its seeds."""
    return sweep.of(lambda kinds: experiment, {})


def searched(
    place: pathlib.Path, base: Experiment, data: Prepared, trials: int
) -> Experiment:
    """The best experiment that a search finds, with the seeds of `base`."""
    from ple_jax.studies import tune  # needs an extra, and a study mostly does not
    from ple_jax.studies.tuner import Budget

    alone = config.with_values(base, {"train.seeds": 1})
    if not place.is_dir():
        tune.create(place, alone, {}, data)
    tune.tune(place, Budget(trials))
    best = config.from_dict(config.load(place / tune.BEST))
    return config.with_values(best, {"train.seeds": base.train.seeds})
