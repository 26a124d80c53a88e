"""A search for good knobs: trials in batches, the best of them, an honest estimate.

experiment.toml   the experiment with its space
data/             the data set, once: trials link to it
tune.db           Optuna's file: each trial's point, the score of each epoch, its end
trials/NUMBER/    a run directory each; only the best keeps its checkpoints
best.toml         the experiment at the best point
result.json       what was found: see `Tuner.found`
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from ple_jax import config
from ple_jax.config import tuning
from ple_jax.config.experiment import Experiment
from ple_jax.config.tuning import Space
from ple_jax.data.store import Prepared
from ple_jax.disk import replace_file
from ple_jax.runs.directory import (
    TRIALS,
    fill,
    new_run_directory,
    write_result,
)
from ple_jax.runs.lock import locked
from ple_jax.show.escape import one_line
from ple_jax.space import OneOf, Range
from ple_jax.studies.halves import ESTIMATE, Halves
from ple_jax.studies.search import Pruner
from ple_jax.studies.tuner import Budget, Tuner
from ple_jax.train import loop
from ple_jax.train.setup import Setup

BEST = "best.toml"


def create(
    directory: pathlib.Path, base: Experiment, asked: Mapping[str, Any], data: Prepared
) -> None:
    """Makes the directory of a search.

    Args:
        directory: Where it is to be.
        base: The experiment to start from.
        asked: Ranges by dotted path, as `tuning.taken` gives them; {} for all stated.
        data: What trials read.

    Raises:
        FileExistsError: The directory is not empty.
        ValueError: The experiment cannot be trained, or not at each value asked for.
    """
    ranges, seen = tuning.space_of(base, asked), Halves.of(data)
    loop.check(base, seen)
    if asked:
        check_asked(base, ranges, seen)
    else:
        ranges = fitting(base, ranges, seen)
    with new_run_directory(directory) as partial:
        fill(partial, tuning.to_toml(base, ranges), data)
        (partial / TRIALS).mkdir()


def check_asked(base: Experiment, ranges: Space, data: Prepared) -> None:
    """Raises a ValueError for a value that alone makes the experiment impossible."""
    for path, of in ranges.items():
        for value in of.examples:
            try:
                loop.check(tuning.at(base, {path: value}), data)
            except ValueError as error:
                raise ValueError(f"tune.{path} has {value!r}: {error}") from error


def fitting(base: Experiment, ranges: Space, data: Prepared) -> Space:
    """The ranges without choices that are too large for the data, such as batches."""
    kept: dict[str, Range] = {}
    for path, of in ranges.items():
        values = [v for v in of.examples if _fits(base, path, v, data)]
        if len(values) > 1:
            kept[path] = OneOf(*values) if isinstance(of, OneOf) else of
    return kept


def _fits(base: Experiment, path: str, value: Any, data: Prepared) -> bool:
    try:
        Setup([tuning.at(base, {path: value})], data).check()
    except ValueError:
        return False
    return True


def tune(
    directory: pathlib.Path, budget: Budget, batch: int = 4, pruner: Pruner = "median"
) -> dict[str, Any]:
    """Searches until the budget is spent; returns and writes what was found.

    A search that was broken off goes on; of trials that were under way, it tries the
    points again.

    Args:
        directory: That of the search.
        budget: When it ends; trials under way end with their epoch.
        batch: Trials that are asked for at a time, and trained side by side.
        pruner: Which trials end early: see `Search`.

    Raises:
        Stopped: A signal came.
        ValueError: Another process has it, or no trial came to an end.
    """
    with locked(directory):
        tuner = Tuner(directory, budget, pruner)
        tuner.clear()
        while len(tuner.search.ended) < budget.trials and not budget.is_late:
            left = budget.trials - len(tuner.search.ended)
            tuner.try_batch(int(min(batch, left)))
        result = tuner.found()
        write_best(directory, tuner.base, result)
        write_result(directory, result)
    return result


def write_best(
    directory: pathlib.Path, base: Experiment, result: dict[str, Any]
) -> None:
    """Writes the experiment at the best point, with all knobs plain."""
    best, metric = result["best"], one_line(result["metric"])
    of = lambda half: "undefined" if best[half] is None else f"{best[half]:.4f}"
    point = result["trials"][str(best["trial"])]["values"]
    text = (
        f"# Trial {best['trial']} of {len(result['trials'])}. {metric} on the half of "
        f"validation that chose it: {of('validation')} (too good),\n# on the half that "
        f"did not: {of(ESTIMATE)}. No trial has seen test.\n\n"
    )
    with replace_file(directory / BEST) as partial:
        text += config.to_toml(tuning.at(base, point))
        partial.write_text(text, encoding="utf-8")
