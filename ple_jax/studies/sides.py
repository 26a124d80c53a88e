"""Run directories as the sides of a comparison: each a run, or the seeds of a point."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ple_jax.config import sweep
from ple_jax.data.store import Prepared
from ple_jax.runs.directory import Run, open_run, recorded_tree, trials_folder
from ple_jax.studies import paired, sweeps


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
        return paired.logits_of(self.runs, split)


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


def sides_in(
    directory: pathlib.Path, name: str, faults: list[str] | None = None
) -> Iterator[Side]:
    """The sides of one directory.

    Args:
        directory: A run, or several trials.
        name: What to call it.
        faults: Where to say which trials are unfinished or damaged, and to go on
            without them; None raises.

    Raises:
        ValueError: As `sides_of`.
    """
    if not sweep.is_sweep(recorded_tree(directory)):
        yield Side(name, directory, (finished(directory),))
        return
    points: dict[str, tuple[list[Run], list[str]]] = {}
    for trial in sweeps.recorded(directory).trials:
        done, diverged = points.setdefault(trial.point, ([], []))
        try:
            done.append(finished(trials_folder(directory) / trial.name))
        except Diverged:
            diverged.append(trial.name)
        except (ValueError, OSError) as error:
            if faults is None:
                raise
            faults.append(str(error))
    for point, (runs, lost) in points.items():
        whole = f"{name} {point}" if len(points) > 1 else name
        if runs:
            yield Side(whole, directory, tuple(runs), tuple(lost))


class Diverged(ValueError):
    """A trial has no best epoch to compare."""


def finished(directory: pathlib.Path) -> Run:
    """Opens a run that has its final table.

    Raises:
        ValueError: It has none, or is damaged, or diverged.
    """
    run = open_run(directory)
    result = run.result or {}
    if "diverged" in result:
        raise Diverged(f"{directory} diverged: it has nothing to compare.")
    if "validation" not in result:
        raise ValueError(
            f"{directory} is not finished: continue it with `ple-jax train --resume`, "
            "or leave it out."
        )
    return run


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
