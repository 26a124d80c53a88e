"""Reads a run directory whole, and names all that is damaged."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ple_jax.data.store import Prepared, damaged_files
from ple_jax.disk import read_json
from ple_jax.runs import journal, manifest
from ple_jax.runs.directory import (
    CHECKPOINTS,
    DATA,
    METRICS,
    RESULT,
    recorded_tree,
    trials_folder,
)
from ple_jax.train.checkpoint import Checkpoints


@dataclasses.dataclass
class Findings:
    """What was found in a directory.

    Attributes:
        faults: What is damaged: one sentence each.
        unchecked: What has no checksum, as it is older than these.
    """

    faults: list[str] = dataclasses.field(default_factory=list)
    unchecked: list[str] = dataclasses.field(default_factory=list)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Notes what is raised as a fault, and goes on."""
        try:
            yield
        except (ValueError, OSError) as error:
            self.faults.append(str(error))


def directories(directory: pathlib.Path) -> list[pathlib.Path]:
    """The directory, and those of its trials if it has any."""
    folder = trials_folder(directory)
    return [directory, *sorted(folder.iterdir())] if folder.is_dir() else [directory]


def verify(directory: pathlib.Path) -> Findings:
    """Reads everything in one directory, without its trials.

    That is the experiment, the data set with its arrays, each checkpoint, the journal
    and the result.
    """
    found = Findings()
    _verify_small_files(directory, found)
    _verify_data(directory / DATA, found)
    folder = directory / CHECKPOINTS
    _verify_checkpoints(folder, {"": directory}, found)
    for group in sorted(p for p in folder.glob("*/") if not p.name[0].isdecimal()):
        trials = {p.name: p for p in directories(directory)[1:]}
        _verify_checkpoints(group, trials, found)
    _verify_results(directory, found)
    return found


def _verify_small_files(directory: pathlib.Path, found: Findings) -> None:
    """The experiment, the schema, and what was fitted on train."""
    if (directory / manifest.MANIFEST).is_file():
        with found.noting():
            recorded = manifest.read(directory)["files"]
            faults = list(manifest.faults(directory, recorded))
            found.faults += faults
            if faults:
                return
    else:
        found.unchecked.append("experiment, schema and vocabularies")
    with found.noting():
        recorded_tree(directory)


def _verify_data(directory: pathlib.Path, found: Findings) -> None:
    """The data set; if something is wrong, all of its files are read once more."""
    try:
        Prepared.open(directory).verify()
    except (ValueError, OSError) as error:
        with found.noting():
            found.faults += [*damaged_files(directory)] or [str(error)]


def _verify_checkpoints(
    folder: pathlib.Path, trials: Mapping[str, pathlib.Path], found: Findings
) -> None:
    """All checkpoints in a folder, and the journals up to the newest."""
    if not folder.is_dir():
        return
    progress: dict[str, Any] = {}
    with found.noting(), Checkpoints(folder, read_only=True) as checkpoints:
        faults, unchecked = checkpoints.verify()
        found.faults += faults
        found.unchecked += unchecked
        with suppress(ValueError):  # said by now
            progress = checkpoints.newest_progress()
    names = progress.get("trials", [*trials][:1])
    for name, marks in zip(names, progress.get("journals", []), strict=False):
        with found.noting():
            journal.check(trials[name] / METRICS, marks)


def _verify_results(directory: pathlib.Path, found: Findings) -> None:
    """The journal and the final table."""
    with found.noting():
        journal.read_records(directory / METRICS)
    if (directory / RESULT).exists():
        with found.noting():
            read_json(directory / RESULT)
    for name in (METRICS, RESULT):
        with found.noting():
            recorded = manifest.check_result(directory, name)
            if (directory / name).exists() and not recorded:
                found.unchecked.append(name)
