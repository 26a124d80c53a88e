"""Run directories as the sides of a comparison: each a run, or the seeds of a point."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ple_jax.config import sweep
from ple_jax.data.store import Prepared
from ple_jax.runs.directory import Run, open_run, recorded_tree, trials_folder
from ple_jax.studies import paired, study


@dataclasses.dataclass(frozen=True)
class Side:
    """What is compared: finished trials of one experiment, that differ in seeds.

    Attributes:
        name: As people read it: the directory, and of several points the point.
        directory: What was named.
        runs: Its finished trials.
        left_out: Names of trials that diverged.
    """

    name: str
    directory: pathlib.Path
    runs: tuple[Run, ...]
    left_out: tuple[str, ...] = ()

    @property
    def data(self) -> Prepared:
        """The data set of its runs."""
        return self.runs[0].data

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [run.experiment.train.seed for run in self.runs]

    def logits(self, split: str) -> np.ndarray:  # (rows, R, T)
        """Logits of a split by each run's best checkpoint."""
        groups = study.together(self.runs)
        of = {
            run.directory: logits
            for group in groups
            for run, logits in zip(
                group, np.moveaxis(paired.logits_of(group, split), 1, 0), strict=True
            )
        }
        return np.stack([of[run.directory] for run in self.runs], axis=1)


def sides_of(directories: Sequence[pathlib.Path]) -> list[Side]:
    """The sides that directories hold: one of each run, one of each point of a sweep.

    Raises:
        ValueError: A directory is no run, is damaged, is not finished, or is named
            twice.
    """
    for directory, times in Counter(map(pathlib.Path.resolve, directories)).items():
        if times > 1:
            raise ValueError(f"{directory} is named {times} times.")
    return [
        side
        for directory, name in zip(directories, short_names(directories), strict=True)
        for side in sides_in(directory, name)
    ]


def short_names(directories: Iterable[pathlib.Path]) -> list[str]:
    """The last part of each path, or all of it where two would be the same."""
    last = [directory.resolve().name for directory in directories]
    pairs = zip(directories, last, strict=True)
    return [str(d) if last.count(name) > 1 else name for d, name in pairs]


def sides_in(directory: pathlib.Path, name: str) -> Iterator[Side]:
    """The sides of one directory.

    Raises:
        ValueError: As `sides_of`.
    """
    if not sweep.is_sweep(recorded_tree(directory)):
        run = open_run(directory)
        check_finished(run)
        yield Side(name, directory, (run,))
        return
    points: dict[str, list[Run]] = {}
    for trial in study.recorded(directory).trials:
        run = open_run(trials_folder(directory) / trial.name)
        points.setdefault(trial.point, []).append(run)
    for point, runs in points.items():
        diverged = [r for r in runs if "diverged" in (r.result or {})]
        done = [r for r in runs if r not in diverged]
        for run in done:
            check_finished(run)
        if done:
            lost = tuple(run.directory.name for run in diverged)
            whole = f"{name} {point}" if len(points) > 1 else name
            yield Side(whole, directory, tuple(done), lost)


def check_finished(run: Run) -> None:
    """Raises a ValueError if a run has no final table."""
    if "validation" not in (run.result or {}):
        raise ValueError(
            f"{run.directory} is not finished: continue it with `ple-jax train "
            "--resume`, or leave it out."
        )


def check_same_data(sides: Sequence[Side]) -> None:
    """Raises a ValueError that names the sides whose data set is not the first's."""
    first = sides[0]
    others = [s for s in sides if s.data.fingerprint != first.data.fingerprint]
    if others:
        named = ", ".join(str(side.directory) for side in others)
        raise ValueError(
            "Only runs on the same rows can be compared: expected the data set of "
            f"{first.directory} ({first.data.fingerprint}), but {named} "
            f"{'have others' if len(others) > 1 else 'has another'} "
            f"({', '.join(side.data.fingerprint for side in others)})."
        )
