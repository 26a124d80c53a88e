"""`ple-jax`: parse, call, print. Imports what is slow only where it is used."""

import argparse
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial

STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; a mistake of the user ends in one message and status 2."""
    asked, rest = parser().parse_known_args(arguments)
    if rest and asked.command is not train:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return asked.command(asked, rest) or 0
    except (
        ValueError,
        FileNotFoundError,
        FileExistsError,
        FloatingPointError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader went away, which is its right; say nothing more on a closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def parser() -> argparse.ArgumentParser:
    """The commands and their own arguments; `train` has an experiment's flags too."""
    from ple_jax import __version__

    top = argparse.ArgumentParser(
        prog="ple-jax",
        description="Multi-task and multi-domain recommender models in JAX.",
    )
    top.add_argument("--version", action="version", version=f"ple-jax {__version__}")
    commands = top.add_subparsers(title="commands", required=True)

    def command(name, function, help):
        new = commands.add_parser(name, help=help, description=help)
        new.set_defaults(command=function)
        return new

    new = command("train", train, "train an experiment, and print its result table")
    new._remove_action(
        new._actions[0]
    )  # --help is answered with the experiment's flags
    del new._option_string_actions["-h"], new._option_string_actions["--help"]
    new.add_argument("--run-dir", type=pathlib.Path)
    new.add_argument("--resume", action="store_true")
    new.add_argument("--data-dir", help="where raw files lie")
    new.add_argument("-h", "--help", action="store_true")

    new = command("prepare", prepare, "prepare a data set once, without training")
    new.add_argument("experiment", type=pathlib.Path, help="its [data] section is read")
    new.add_argument("--out", type=pathlib.Path, help="a new directory; else the cache")
    new.add_argument("--data-dir", help="where raw files lie")

    new = command("evaluate", evaluate, "measure a run's best checkpoint on a split")
    new.add_argument("run", type=pathlib.Path, help="a run directory")
    new.add_argument("--split", default="test", choices=("train", "validation", "test"))
    new.add_argument("--json", action="store_true", help="one JSON object on stdout")

    new = command("predict", predict, "score a file of raw columns, in its order")
    new.add_argument("run", type=pathlib.Path, help="a run directory")
    new.add_argument("file", help="CSV, CSV.gz or Parquet; labels are not needed")
    new.add_argument("--out", type=pathlib.Path, required=True, help="a Parquet file")

    for name, function in (("models", models), ("datasets", datasets)):
        new = command(name, function, f"list the {name} that there are")
        new.add_argument(
            "--json", action="store_true", help="one JSON object on stdout"
        )
    return top


TRAIN_HELP = """\
usage: ple-jax train EXPERIMENT.toml [--run-dir DIR] [--resume] [--data-dir DIR]
                     [--SECTION.KNOB VALUE ...] [--sweep.SECTION.KNOB VALUE VALUE ...]

Trains an experiment and writes a run directory: DIR, or else the first of
runs/EXPERIMENT, runs/EXPERIMENT-2, ... that is free. With --resume, DIR is continued
where it stopped (and EXPERIMENT.toml may be left out).
--train.seeds 5 trains five seeds, --sweep.train.learning-rate 1e-3 3e-3 each of the
values (in the file: lists in a table [sweep]), and the result has mean and spread. What
keeps the shapes trains as one program, the rest one after another; each trial has a run
directory of its own in DIR/trials.
The knobs, with their values in {name}:
"""


def train(asked: argparse.Namespace, rest: list[str]) -> int:
    """`ple-jax train`."""
    from ple_jax import config
    from ple_jax.config import flags, sweep
    from ple_jax.show import console
    from ple_jax.train import loop

    # Not argparse's: it would take a knob's value for it where none is named.
    named = bool(rest) and not rest[0].startswith("-")
    asked.experiment = pathlib.Path(rest.pop(0)) if named else None
    if asked.help:
        name = asked.experiment or "the default experiment"
        print(TRAIN_HELP.format(name=name))
        rest = [*rest, "--help"]
    rest, more = flags.take_sweep(rest)
    tree, lists = sweep.taken(tree_of(asked), more)
    try:
        if asked.resume and not asked.experiment and sweep.is_sweep(tree, lists):
            if rest or more:
                raise ValueError("A sweep is resumed as it was: name no knobs.")
            return several(asked)
        rest += ["--data.data-dir", asked.data_dir] if asked.data_dir else []
        flags.check_not_swept(rest, lists)
        of_kinds = partial(with_flags, tree, rest)
        experiment = of_kinds({})
        if sweep.is_sweep(config.to_dict(experiment), lists):
            return several(asked, sweep.of(of_kinds, lists))
        return one(asked, experiment)
    except loop.Stopped as stop:
        again = f"ple-jax train --resume --run-dir {asked.run_dir}"
        console.say(f"stopped by {stop}; continue with: {again}")
        return STOPPED


def with_flags(tree: dict, rest: list[str], kinds: Mapping[str, str]):
    """The experiment of a file and of flags, with other plugins by section."""
    from ple_jax.config import flags
    from ple_jax.show import console

    named = [f"--{section}.kind={kind}" for section, kind in kinds.items()]
    found, dropped = flags.parse(tree, [*rest, *named], "ple-jax train EXPERIMENT.toml")
    if dropped:
        kind, listed = found.model.kind, ", ".join(dropped)
        console.say(f"left out, as {kind!r} has no such options: {listed}")
    return found


def one(asked: argparse.Namespace, experiment) -> int:
    """Trains one run, and shows its table."""
    from ple_jax.parallel import runtime
    from ple_jax.show import console, tables
    from ple_jax.train import loop

    runtime.set_up()
    chosen = opened(asked, experiment)
    asked.run_dir = chosen.directory
    console.say(f"run directory: {chosen.directory}")
    result = loop.fit(chosen, asked.resume)
    for split in ("validation", "test"):
        console.show(tables.metric_table(split, result[split]["tasks"]))
    return 0


def several(asked: argparse.Namespace, wanted=None) -> int:
    """Trains a sweep, by default the one recorded, and shows its tables."""
    from ple_jax.parallel import runtime
    from ple_jax.runs.directory import (
        prepare_data,
    )
    from ple_jax.show import console, tables
    from ple_jax.studies import study

    runtime.set_up()
    if asked.resume:
        directory = resumed(asked)
        wanted = wanted or study.recorded(directory)
        chosen = study.open_study(directory, wanted)
    else:
        directory = free(asked)
        chosen = study.create(directory, wanted, prepare_data(wanted.base.data))
    asked.run_dir = chosen.directory
    console.say(f"run directory: {chosen.directory}, {len(chosen.runs)} trials")
    result = study.fit(chosen, asked.resume)
    console.show(tables.trial_table(result["trials"]))
    for split in ("validation", "test"):
        console.show(tables.point_table(split, result["points"]))
    return 0


def tree_of(asked: argparse.Namespace) -> dict:
    """The experiment's nested dicts: of the file named, or of the run to resume."""
    from ple_jax import config
    from ple_jax.runs.directory import (
        experiment_file,
    )

    if asked.experiment:
        return config.load(asked.experiment)
    if asked.help:
        return {}
    if asked.resume and asked.run_dir:
        return config.load(experiment_file(asked.run_dir))
    raise ValueError(
        "Name an experiment, such as `ple-jax train experiments/census_ple.toml`, or a "
        "run to continue: `ple-jax train --resume --run-dir DIR`."
    )


def opened(asked: argparse.Namespace, experiment):
    """The run to train: a new one, or the recorded one if it is the same."""
    from ple_jax.runs.directory import (
        check_same,
        create_run,
        open_run,
        prepare_data,
    )
    from ple_jax.train import loop

    if asked.resume:
        recorded = open_run(resumed(asked))
        check_same(recorded, experiment)
        return recorded
    directory, data = free(asked), prepare_data(experiment.data)
    loop.check(experiment, data)
    return create_run(directory, experiment, data)


def resumed(asked: argparse.Namespace) -> pathlib.Path:
    """The directory of the run to continue."""
    if not asked.run_dir:
        raise ValueError("--resume needs --run-dir, the run to continue.")
    return asked.run_dir


def free(asked: argparse.Namespace) -> pathlib.Path:
    """The directory of a new run."""
    from ple_jax.runs.directory import (
        check_free,
        free_directory,
    )

    directory = asked.run_dir or free_directory(asked.experiment.stem)
    check_free(directory)
    return directory


def prepare(asked: argparse.Namespace, rest: list[str]) -> int:
    """`ple-jax prepare`."""
    from ple_jax import config
    from ple_jax.config import sweep
    from ple_jax.runs.directory import (
        prepare_data,
    )
    from ple_jax.show import console, tables

    tree, _ = sweep.taken(config.load(asked.experiment))
    if asked.data_dir:
        tree.setdefault("data", {})["data_dir"] = asked.data_dir
    experiment = config.from_dict(tree)
    prepared = prepare_data(experiment.data, asked.out)
    console.show(tables.prepared_table(prepared))
    return 0


def evaluate(asked: argparse.Namespace, rest: list[str]) -> int:
    """`ple-jax evaluate`."""
    from ple_jax.parallel import runtime
    from ple_jax.runs.directory import (
        open_run,
    )
    from ple_jax.serve import files
    from ple_jax.show import console, tables

    chosen = open_run(asked.run)
    runtime.set_up()
    scorer, variables = files.load_scorer(chosen)
    measured = {"split": asked.split, **scorer.report(variables, asked.split)}
    if asked.json:
        console.show_json(measured)
        return 0
    console.show(tables.metric_table(asked.split, measured["tasks"]))
    if len(measured["domains"]) > 1:
        for domain, tasks in measured["domains"].items():
            console.show(tables.metric_table(f"{asked.split}, domain {domain}", tasks))
    return 0


def predict(asked: argparse.Namespace, rest: list[str]) -> int:
    """`ple-jax predict`."""
    from ple_jax.parallel import runtime
    from ple_jax.runs.directory import (
        open_run,
    )
    from ple_jax.serve import files
    from ple_jax.show import console

    chosen = open_run(asked.run)
    runtime.set_up()
    rows = files.predict_file(chosen, asked.file, asked.out)
    console.say(f"{rows:,} rows scored: {asked.out}")
    return 0


def models(asked: argparse.Namespace, rest: list[str]) -> int:
    """`ple-jax models`."""
    from ple_jax import models
    from ple_jax.show import console, tables

    found = {name: models.describe(name) for name in models.available()}
    if asked.json:
        console.show_json(found)
    else:
        console.show(tables.model_table(found))
    return 0


def datasets(asked: argparse.Namespace, rest: list[str]) -> int:
    """`ple-jax datasets`."""
    from ple_jax import datasets
    from ple_jax.show import console, tables

    found = {name: datasets.find(name).describe() for name in datasets.available()}
    if asked.json:
        console.show_json(found)
    else:
        console.show(*tables.dataset_tables(found))
    return 0
