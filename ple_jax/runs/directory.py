"""The run directory: what it holds, and how to make, find and open one."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ple_jax import config, datasets, sinks
from ple_jax.config import sweep
from ple_jax.config.experiment import Experiment, Plugin
from ple_jax.config.tuning import TUNE
from ple_jax.data.facts import FACTS
from ple_jax.data.prepare import load_or_prepare
from ple_jax.data.prepare import prepare as data_prepare
from ple_jax.data.source import Source
from ple_jax.data.store import Prepared
from ple_jax.disk import new_directory, read_json, write_json
from ple_jax.engines import Engine
from ple_jax.runs import manifest
from ple_jax.runs.defaults import recorded
from ple_jax.show import console

EXPERIMENT, DATA, CHECKPOINTS = "experiment.toml", "data", "checkpoints"
METRICS, RESULT = "metrics.jsonl", "result.json"
TRIALS, OLD_TRIALS = "trials", "replicas"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory; it alone is enough to resume, evaluate and predict.

    experiment.toml   the resolved experiment
    manifest.json     checksums: of it and the small files in data/, and of the results
    data/             schema, vocabularies and the prepared data set
    checkpoints/      the newest and the best
    metrics.jsonl     one JSON object an epoch
    result.json       the final table, on validation and test
    sinks.json        what its sinks have of it, if there are any
    training.json     the process that trains it, while it does
    """

    directory: pathlib.Path
    experiment: Experiment
    data: Prepared

    @property
    def checkpoints(self) -> pathlib.Path:
        """The folder of checkpoints."""
        return self.directory / CHECKPOINTS

    @property
    def metrics(self) -> pathlib.Path:
        """The journal of epochs."""
        return self.directory / METRICS

    @property
    def result(self) -> dict[str, Any] | None:
        """The final table; None before the end."""
        return read_result(self.directory)

    def write_result(self, result: dict[str, Any]) -> None:
        """Replaces the final table."""
        write_result(self.directory, result)


def read_result(directory: pathlib.Path) -> dict[str, Any] | None:
    """The final table of a directory; None before the end.

    Raises:
        ValueError: It is not as it was written.
    """
    path = directory / RESULT
    if not path.exists():
        return None
    manifest.check_result(directory, RESULT)
    return read_json(path)


def write_result(directory: pathlib.Path, result: dict[str, Any]) -> None:
    """Replaces the final table of a directory, and seals it and the journal."""
    manifest.unseal(directory)  # a kill in between leaves none that seems damaged
    write_json(directory / RESULT, result)
    there = [name for name in (RESULT, METRICS) if (directory / name).exists()]
    manifest.seal(directory, there)


def trials_folder(directory: pathlib.Path) -> pathlib.Path:
    """Where a sweep's directory has its trials; older ones have another name for it."""
    old = directory / OLD_TRIALS
    return old if old.is_dir() else directory / TRIALS


def prepare_data(
    plugin: Plugin,
    out: pathlib.Path | None = None,
    engine: Engine | None = None,
    **options: int,
) -> Prepared:
    """The prepared data set of a `[data]` section: in `out`, by default the cache.

    An engine prepares in processes of its own; options are those of `prepare`.
    """
    source = datasets.find(plugin.kind).build(**plugin.options)
    if isinstance(source, Prepared):
        return source
    if source.terms:
        console.say(f"terms of {plugin.kind}: {source.terms}")
    with console.bar(f"preparing {plugin.kind}") as advance:
        if out is None:
            return load_or_prepare(source, advance, engine, **options)
        return data_prepare(source, out, advance, engine, **options)


def source_of(plugin: Plugin) -> Source:
    """The raw rows that a `[data]` section names.

    Raises:
        ValueError: They are prepared already.
    """
    source = datasets.find(plugin.kind).build(**plugin.options)
    if isinstance(source, Prepared):
        raise ValueError(f"{source.directory} is prepared already.")
    return source


def check_free(directory: pathlib.Path) -> None:
    """Raises a FileExistsError if the directory is not empty."""
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(
            f"{directory} is not empty, and a run is never overwritten. Continue it "
            "with --resume, or name another --run-dir."
        )


@contextmanager
def new_run_directory(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a directory to fill, and gives it the name when it is whole.

    Raises:
        FileExistsError: The named directory is not empty.
        ValueError: It is empty, but cannot be replaced, such as a mount point.
    """
    check_free(directory)
    place = directory.resolve()  # it may be a link to an empty directory
    if place.exists():
        _remove_empty(place)
    with new_directory(place) as partial:
        yield partial


def _remove_empty(place: pathlib.Path) -> None:
    if place.samefile("."):  # it would be another one by the same name
        why = "it is the working directory"
    else:
        try:
            return place.rmdir()
        except OSError as error:  # a mount point is busy
            why = str(error.strerror)
    raise ValueError(
        f"{place} cannot become a run directory ({why}): name a directory below it, "
        f"such as --run-dir {place / 'run'}."
    )


def fill(directory: pathlib.Path, experiment: str, data: Prepared) -> Prepared:
    """Writes what a run directory begins with; returns the data set in it."""
    kept = data.copy_to(directory / DATA)
    (directory / EXPERIMENT).write_text(experiment, encoding="utf-8")
    small = {f"{DATA}/{name}" for name in kept.small_files()}
    manifest.write(directory, {EXPERIMENT, *small})
    return kept


def create_run(directory: pathlib.Path, experiment: Experiment, data: Prepared) -> Run:
    """Makes a run directory with the data set in it, by hard links where possible.

    It records numbers where the experiment says `auto`.

    Raises:
        FileExistsError: The directory is not empty.
        ValueError: It names a sink that is not known, or is not installed.
    """
    sinks.check(experiment.train.sinks)
    experiment = recorded(experiment, data)
    with new_run_directory(directory) as partial:
        kept = fill(partial, config.to_toml(experiment), data)
    return run_in(directory, experiment, kept)


def run_in(directory: pathlib.Path, experiment: Experiment, data: Prepared) -> Run:
    """The run of a directory that was just filled and renamed."""
    moved = dataclasses.replace(data, directory=directory / DATA)
    return Run(directory, experiment, moved)


def experiment_file(directory: pathlib.Path) -> pathlib.Path:
    """The experiment file of a run directory.

    Raises:
        ValueError: It has none, so it is no run directory.
    """
    path = directory / EXPERIMENT
    if not path.is_file():
        raise ValueError(
            f"{directory} is not a run directory: it has no {EXPERIMENT}. "
            "`ple-jax train` makes one."
        )
    return path


def recorded_tree(directory: pathlib.Path) -> dict[str, Any]:
    """The nested dicts that a run directory records, found whole.

    The checksums say that nothing is missing. Directories of before have none; there
    knobs may be missing because they are younger, but sections and kinds may not. What
    a younger knob changes by default is left as it was: see `config.with_old_values`.

    Raises:
        ValueError: It is no run directory, or is damaged.
    """
    path = experiment_file(directory)
    has_checksums = manifest.check(directory)
    tree = config.load_as_written(path)
    if not has_checksums:
        missing, younger = config.left_out(tree)
        if missing:
            raise ValueError(f"{path} is damaged: it lacks {', '.join(missing)}.")
        taken = f" It lacks {', '.join(younger)}: defaults are taken." * bool(younger)
        say_once(f"This run was made before there were checksums: it has none.{taken}")
    return config.with_old_values(tree)


def going_on(tree: dict[str, Any], directory: pathlib.Path) -> dict[str, Any]:
    """The nested dicts of an experiment, by which to go on with a recorded run.

    A knob that they leave out, and that is younger than the record, keeps the value of
    then; this is said.
    """
    record = config.load_as_written(experiment_file(directory))
    tree, held = config.with_values_of_then(tree, record)
    for path, value in held.items():
        say_once(f"note: the run is older than {path} and goes on with {value}")
    return tree


say_once = functools.cache(console.say)


def open_run(directory: pathlib.Path) -> Run:
    """Opens a run directory.

    Raises:
        ValueError: It is none, or holds several trials, or its data set is damaged.
    """
    tree = recorded_tree(directory)
    if sweep.is_sweep(tree) or TUNE in tree:
        folder = trials_folder(directory)
        names = sorted(path.name for path in folder.iterdir())
        raise ValueError(
            f"{directory} holds {len(names)} trials, each a run directory: name one in "
            f"{folder}: {', '.join(names)}. `evaluate` and `predict` also take several "
            "as one, by --ensemble."
        )
    experiment = config.from_dict(tree)
    return Run(directory, experiment, Prepared.open(directory / DATA))


def open_data(directory: pathlib.Path) -> Prepared:
    """The data set of a directory: a prepared one, or that of a run or a sweep."""
    inside = directory / DATA
    return Prepared.open(inside if (inside / FACTS).is_file() else directory)


def free_directory(
    name: str, parent: pathlib.Path = pathlib.Path("runs")
) -> pathlib.Path:
    """The first of runs/name, runs/name-2, runs/name-3, ... that does not exist."""
    number, path = 1, parent / name
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path


def same_run(recorded: Run, experiment: Experiment) -> Run:
    """The recorded run, to go on with the sinks that are asked for now.

    Raises:
        ValueError: The experiment is not the recorded one (lists what differs),
            or names a sink that is not known, or is not installed.
    """
    if changed := config.differences(recorded.experiment, experiment):
        listing = "\n  ".join(changed)
        raise ValueError(
            f"{recorded.directory} cannot be resumed, because it would not be the same "
            f"run (recorded -> asked):\n  {listing}"
        )
    sinks.check(experiment.train.sinks)
    now = {config.SINKS: experiment.train.sinks}
    return dataclasses.replace(
        recorded, experiment=config.with_values(recorded.experiment, now)
    )
