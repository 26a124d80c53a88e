"""Which trials of a sweep are best on validation."""

import pathlib
import statistics

from ple_jax.config import sweep
from ple_jax.runs.directory import Run, open_run, recorded_tree, trials_folder
from ple_jax.studies import paired, sweeps


def validation_score(run: Run) -> float | None:
    """The metric that chose a run's best epoch, higher is better; None if unfinished.

    It is that of `train.metric` on validation, or its negative for an error.
    """
    result = run.result or {}
    return paired.validation_score(run, result) if "validation" in result else None


def best_members(directory: pathlib.Path) -> list[Run]:
    """The finished trials of the point that is best on validation, by their mean.

    Raises:
        ValueError: The directory is of one run, or no trial is finished.
    """
    if not sweep.is_sweep(recorded_tree(directory)):
        raise ValueError(
            f"{directory} is one run: an ensemble needs the directory of several "
            "trials, such as --train.seeds 5 makes."
        )
    points: dict[str, list[tuple[float, Run]]] = {}
    for trial in sweeps.recorded(directory).trials:
        run = open_run(trials_folder(directory) / trial.name)
        if (value := validation_score(run)) is not None:
            points.setdefault(trial.point, []).append((value, run))
    if not points:
        raise ValueError(f"{directory} has no finished trial: resume it.")
    mean = lambda pairs: statistics.fmean(value for value, _ in pairs)
    return [run for _, run in max(points.values(), key=mean)]
