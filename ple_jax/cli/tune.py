"""Search for better knobs, and write the experiment at the best point.

Trials differ in the knobs of a space. Models, [train] and [inputs] state one; a table
[tune] of the file, or --tune.SECTION.KNOB, states another instead:

    --tune.train.learning-rate 1e-4 1e-2      two numbers are a range
    --tune.train.batch-size 128 256 512       other values are choices
    --tune.model.dropout-rate                 none: the range that the knob states

The first trial is the experiment as it stands. Trials are chosen by one half of the
validation split; the other half says how good the best is, and test is not read.

The directory is DIR, or else the first of runs/EXPERIMENT-tune, runs/EXPERIMENT-tune-2,
... that is free; best.toml in it is an experiment to train. With --resume, the search
in DIR goes on, up to as many trials in all.
"""

import argparse
import pathlib
import shlex
import time
from typing import Any

from ple_jax.cli.experiment import STOPPED, experiment_of

TRIALS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The experiment, where the search is, and how long it takes."""
    add, path = parser.add_argument, pathlib.Path
    name, about = "EXPERIMENT.toml", "where to start; a search that goes on has its own"
    add("experiment", type=path, nargs="?", metavar=name, help=about)
    add("--run-dir", type=path, metavar="DIR", help="where the search is, or will be")
    add("--resume", action="store_true", help="go on with the search in --run-dir")
    about = f"trials in all (default: {TRIALS}, or no limit with --minutes)"
    add("--trials", type=int, metavar="INT", help=about)
    about = "starts no trial after so many minutes, and ends the others"
    add("--minutes", type=float, metavar="FLOAT", help=about)
    about = "trials that one program trains side by side (default: 4)"
    add("--batch", type=int, default=4, metavar="INT", help=about)
    about = "what ends bad trials early (default: median)"
    pruners = ("median", "hyperband", "none")
    add("--pruner", choices=pruners, default="median", help=about)
    add("--data-dir", metavar="DIR", help="where raw files lie; sets data.data_dir")


def tree_of(asked: argparse.Namespace) -> dict[str, Any]:
    """The nested dicts of the experiment, with its table [tune]."""
    from ple_jax import config

    return config.load(asked.experiment) if asked.experiment else {}


def run(asked: argparse.Namespace) -> int:
    """Searches, and prints what was found."""
    from ple_jax.parallel import runtime
    from ple_jax.show import console
    from ple_jax.studies import tune, tuner
    from ple_jax.train import loop

    check(asked)
    runtime.set_up()
    if not asked.resume:
        create(asked)
    console.say(f"directory of the search: {asked.run_dir}")
    trials = asked.trials or (float("inf") if asked.minutes else TRIALS)
    minutes = float("inf") if asked.minutes is None else asked.minutes
    budget = tuner.Budget(trials, time.monotonic() + 60 * minutes)
    try:
        show(asked, tune.tune(asked.run_dir, budget, asked.batch, asked.pruner))
    except loop.Stopped as stop:
        again = ["ple-jax", "tune", "--resume", "--run-dir", str(asked.run_dir)]
        console.say(f"stopped by {stop}; go on with: {shlex.join(again)}")
        return STOPPED
    return 0


def check(asked: argparse.Namespace) -> None:
    """Raises a ValueError if it is not clear what to search."""
    from ple_jax import checks

    counts = {"--trials": asked.trials, "--batch": asked.batch}
    checks.at_least(1, **{k: v for k, v in counts.items() if v is not None})
    if asked.minutes is not None and not asked.minutes > 0:
        raise ValueError(f"--minutes must be above 0, got {asked.minutes}.")
    if asked.resume and not asked.run_dir:
        raise ValueError("--resume needs --run-dir, the search to go on with.")
    if asked.resume and (asked.experiment or asked.knobs):
        raise ValueError("A search goes on as it was: name no experiment and no knobs.")
    if not asked.resume and not asked.experiment:
        raise ValueError(
            "Name an experiment, such as `ple-jax tune experiments/census_ple.toml`, "
            "or a search to go on with: `ple-jax tune --resume --run-dir DIR`."
        )


def create(asked: argparse.Namespace) -> None:
    """Makes the directory of a new search."""
    from ple_jax.config import flags, tuning
    from ple_jax.runs.directory import check_free, free_directory, prepare_data
    from ple_jax.studies import tune

    single, more = flags.split_ranges(asked.knobs)
    tree, ranges = tuning.taken(tree_of(asked), more)
    knobs = flags.with_data_dir(single, asked.data_dir)
    base = experiment_of(tree, knobs, {})
    asked.run_dir = asked.run_dir or free_directory(f"{asked.experiment.stem}-tune")
    check_free(asked.run_dir)
    tuning.space_of(base, ranges)  # mistakes first, before data is prepared
    tune.create(asked.run_dir, base, ranges, prepare_data(base.data))


def show(asked: argparse.Namespace, result: dict[str, Any]) -> None:
    """Prints the best trials, the estimate, and what to do next."""
    from ple_jax.show import console, search
    from ple_jax.studies import tune

    console.show(search.best_table(result))
    console.show(search.halves_table(result))
    console.show(search.estimate_table(result))
    console.say(
        "The first half chose the best trial, so its number there is too good; the "
        "other half is the honest one. No trial has seen test: train the best point "
        "with several seeds to read it."
    )
    again = ["ple-jax", "train", str(asked.run_dir / tune.BEST), "--train.seeds", "5"]
    console.say(shlex.join(again))
