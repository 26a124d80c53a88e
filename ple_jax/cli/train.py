"""Train an experiment, and print its result table.

The run directory is DIR, or else the first of runs/EXPERIMENT, runs/EXPERIMENT-2, ...
that is free. With --resume, the run in DIR continues where it stopped, and the
experiment need not be named. If its newest checkpoint is damaged, an older one is
taken, and the status at the end is 3; --strict refuses instead, and changes nothing.
--mirror URL copies the run to an object store every minute and at the end, for
`ple-jax restore`.

Every knob of the experiment can be changed: --train.learning-rate 3e-3,
--model.expert-dims 64 32, --model.kind mmoe.

--sweep.SECTION.KNOB VALUE VALUE ... trains one trial for each value, and for each
combination where several knobs are swept; the file can have such lists in a table
[sweep]. --train.seeds 5 trains each of them with five seeds. The tables then have means
and spreads, and each trial has a run directory of its own below DIR.
"""

import argparse
import pathlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ple_jax.cli.experiment import STOPPED, asked_for, experiment_of

OLDER_CHECKPOINT = 3  # all was done, but from an older checkpoint than the newest
MEET = "train.distributed"  # how a run is trained, not what it is


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The experiment, and where its run is."""
    add, path = parser.add_argument, pathlib.Path
    add(
        "experiment",
        type=path,
        nargs="?",
        metavar="EXPERIMENT.toml",
        help="what to train; a run that continues has its own",
    )
    add("--run-dir", type=path, metavar="DIR", help="where the run is, or will be")
    add("--resume", action="store_true", help="continue the run in --run-dir")
    add("--strict", action="store_true", help="resume from the newest checkpoint only")
    about = "an address that gets a copy of the run as it trains, such as s3://bucket/x"
    add("--mirror", default="", metavar="URL", help=about)
    add("--data-dir", metavar="DIR", help="where raw files lie; sets data.data_dir")


def tree_of(asked: argparse.Namespace) -> dict[str, Any]:
    """The nested dicts of the experiment, or of the run to resume; {} without both."""
    from ple_jax import config
    from ple_jax.runs.directory import going_on, recorded_tree

    if asked.experiment:
        tree = config.load(asked.experiment)
        goes_on = asked.resume and asked.run_dir
        return going_on(tree, asked.run_dir) if goes_on else tree
    if asked.resume and asked.run_dir:
        return recorded_tree(asked.run_dir)
    return {}


def run(asked: argparse.Namespace) -> int:
    """Trains one run, or all of a sweep."""
    from ple_jax.show import console
    from ple_jax.train import loop

    check(asked)
    try:
        return trained(asked)
    except loop.Stopped as stop:
        console.say(f"stopped by {stop}; continue with: {again(asked)}")
        return STOPPED


def again(asked: argparse.Namespace) -> str:
    """The command that continues a run."""
    from ple_jax.parallel import launch, told

    more = [part for name in asked.plugin or () for part in ("--plugin", name)]
    more += ["--mirror", asked.mirror] if asked.mirror else []
    count = told.launched_count()
    return launch.resume_line(str(asked.run_dir), count, more)


def check(asked: argparse.Namespace) -> None:
    """Raises a ValueError if it is not clear what to train."""
    if asked.strict and not asked.resume:
        raise ValueError("--strict needs --resume: a new run has no checkpoint.")
    if asked.resume and not asked.run_dir:
        raise ValueError("--resume needs --run-dir, the run to continue.")
    if asked.experiment or asked.resume:
        return
    if asked.run_dir and asked.run_dir.suffix == ".toml":
        raise ValueError(
            f"--run-dir took {asked.run_dir} for the directory: name the experiment "
            f"first, `ple-jax train {asked.run_dir} --run-dir DIR`."
        )
    if late := [t for texts in asked.knobs.values() for t in texts if ".toml" in t]:
        raise ValueError(f"Name the experiment first: `ple-jax train {late[0]} ...`.")
    raise ValueError(
        "Name an experiment, such as `ple-jax train experiments/census_ple.toml`, or a "
        "run to continue: `ple-jax train --resume --run-dir DIR`."
    )


def trained(asked: argparse.Namespace) -> int:
    """Reads the experiment with its knobs, and trains what it asks for."""
    from ple_jax.config import sweep

    tree = tree_of(asked)
    if asked.resume and not asked.experiment and sweep.is_sweep(tree):
        if asked.knobs.keys() - {MEET}:
            raise ValueError("A sweep is resumed as it was: name no knobs.")
        recorded, _ = sweep.taken(tree)
        meet = experiment_of(recorded, asked.knobs, {}).train.distributed
        return train_sweep(asked, meet)
    if not asked.resume:
        note_data(asked, tree)
    experiment, wanted = asked_for(tree, asked)
    if wanted:
        return train_sweep(asked, experiment.train.distributed, wanted)
    return train_one(asked, experiment)


def note_data(asked: argparse.Namespace, tree: Mapping[str, Any]) -> None:
    """Says so if nothing names the data, by section or knob."""
    from ple_jax.show import console

    named = [*tree, *asked.knobs, *["data"] * bool(asked.data_dir)]
    if not any(path.partition(".")[0] == "data" for path in named):
        console.say(
            f"note: {asked.experiment} has no [data], so this trains on the synthetic "
            "data set, which is drawn at random. Name your own files there: "
            '`ple-jax init FILES` writes kind = "table", schema and files'
        )


def train_one(asked: argparse.Namespace, experiment) -> int:
    """Trains one run, and prints its tables."""
    from ple_jax import config
    from ple_jax.parallel import processes, runtime
    from ple_jax.runs.directory import open_run
    from ple_jax.train import loop

    runtime.set_up()
    with processes.joined(experiment.train.distributed, loop.Stopped):
        make = partial(open_or_create, asked, experiment)
        chosen = shared(make, open_run)
        check_alike(chosen.data, config.flat(experiment))
        return train_all(asked, chosen, [chosen], loop.fit)


def train_sweep(asked: argparse.Namespace, meet: str, wanted=None) -> int:
    """Trains a sweep, by default the recorded one, and prints its tables.

    Its processes, if there are several, meet where `meet` says.
    """
    from ple_jax.parallel import processes, runtime
    from ple_jax.studies import sweeps
    from ple_jax.train import loop

    runtime.set_up()
    with processes.joined(meet, loop.Stopped):
        make = partial(open_or_create_sweep, asked, wanted)
        chosen = shared(make, lambda at: sweeps.open_sweep(at, sweeps.recorded(at)))
        check_alike(chosen.runs[0].data, wanted.facts() if wanted else {})
        return train_all(asked, chosen, chosen.runs, sweeps.fit)


def train_all(asked: argparse.Namespace, chosen, runs, fit) -> int:
    """Trains one or several runs; the first process copies them and prints tables."""
    from ple_jax.parallel import processes, told
    from ple_jax.runs.mirror import mirrored
    from ple_jax.show import console

    asked.run_dir = chosen.directory
    told.tell_again(again(asked))
    trials = f", {len(runs)} trials" * (runs[0].directory != chosen.directory)
    console.say(f"run directory: {chosen.directory}{trials}")
    before = fallbacks_of(runs)
    address = asked.mirror if processes.is_first() else ""
    with mirrored(chosen.directory, address):
        result = fit(chosen, asked.resume, asked.strict)
    if not processes.is_first():
        return 0
    show_result(result)
    return status(runs, before)


def show_result(result: dict[str, Any]) -> None:
    """Prints the tables of a final result; says so if there is no test split."""
    from ple_jax.show import console, results
    from ple_jax.show.course import course_lines

    if "test" not in results.held_out(result):
        console.say("no test split: the schema wants none")
    console.show(*results.of_result(result))
    for line in course_lines(result):
        console.say(line)


def fallbacks_of(runs) -> list[dict[str, Any]]:
    """The notes in all journals of resuming from an older checkpoint."""
    from ple_jax.runs.journal import fallbacks

    return [note for run in runs for note in fallbacks(run.metrics)]


def status(runs, before: list[dict[str, Any]]) -> int:
    """The exit status of a training: whether its journals have a new such note."""
    new = [note for note in fallbacks_of(runs) if note not in before]
    return OLDER_CHECKPOINT if new else 0


def shared(make: Callable[[], Any], open_made: Callable[[pathlib.Path], Any]):
    """What all processes train: the first makes or opens it, the others open it."""
    from ple_jax.parallel import processes, told

    first = make() if processes.is_first() else None
    directory = processes.from_first(str(first.directory) if first else "")
    chosen = first or open_made(pathlib.Path(directory))
    if processes.several():
        told.tell_run(chosen.directory)
    return chosen


def check_alike(data, knobs: Mapping[str, Any]) -> None:
    """Raises a ValueError if processes have other data, versions or knobs."""
    from ple_jax.parallel import processes

    own = {"data set": data.fingerprint, "versions": versions()}
    if processes.several():
        processes.check_alike({**knobs, **own})


def versions() -> str:
    """What must be the same in all processes."""
    import jax

    from ple_jax import __version__

    return f"ple-jax {__version__}, jax {jax.__version__}"


def open_or_create(asked: argparse.Namespace, experiment):
    """The run to train: a new one, or the recorded one if it is the same."""
    from ple_jax.runs import mirror
    from ple_jax.runs.directory import create_run, open_run, prepare_data, same_run
    from ple_jax.train import loop

    if asked.resume:
        chosen = same_run(open_run(asked.run_dir), experiment)
        mirror.check(asked.mirror, chosen.directory)
        return chosen
    mirror.check(asked.mirror, None)
    directory, data = new_directory(asked), prepare_data(experiment.data)
    loop.check(experiment, data)
    return create_run(directory, experiment, data)


def open_or_create_sweep(asked: argparse.Namespace, wanted):
    """The sweep to train: a new one, or the recorded one if it is the same."""
    from ple_jax.runs import mirror
    from ple_jax.runs.directory import prepare_data
    from ple_jax.studies import sweeps

    if asked.resume:
        asked_for = wanted or sweeps.recorded(asked.run_dir)
        chosen = sweeps.open_sweep(asked.run_dir, asked_for)
        mirror.check(asked.mirror, chosen.directory)
        return chosen
    mirror.check(asked.mirror, None)
    directory = new_directory(asked)
    return sweeps.create(directory, wanted, prepare_data(wanted.base.data))


def new_directory(asked: argparse.Namespace) -> pathlib.Path:
    """The directory of a new run; nothing is in it."""
    from ple_jax.runs.directory import check_free, free_directory

    directory = asked.run_dir or free_directory(asked.experiment.stem)
    check_free(directory)
    return directory
