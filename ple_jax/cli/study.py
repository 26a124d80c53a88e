"""Train models side by side on data sets, with several seeds, and say who is ahead.

STUDY.toml has axes with choices, such as data sets, models and options; each
combination is a cell, trained with several seeds. Choices of one axis are compared with
a reference on the same rows of test, with intervals, and with p-values corrected for
all comparisons.

    [study]
    title = "Which model shares best?"
    reference = "single_task"

    [base.train]
    seeds = 5

    [axes.data]
    census = {data = {kind = "census_income"}}
    flights = {data = {kind = "flights"}}

    [axes.model]
    single_task = {model = {kind = "single_task"}, inputs = {per_task = true}}
    ple = {model = {kind = "ple"}}

The directory is DIR, or else the first of runs/NAME, runs/NAME-2, ... that is free,
where NAME is that of the file's folder; results.md and results.csv in it are what was
found, and knobs.toml the knobs of a search. With --resume, the study in DIR goes on:
finished cells are kept, others continue where they stopped. --workers trains several
cells at once, each in a process of its own.

--check FOLDER ... trains one seed of the first two cells of each committed study again,
and compares it with FOLDER/results.csv; the status is 1 if a number is off.
"""

import argparse
import pathlib
import shlex
import sys
from collections.abc import Sequence

from ple_jax.cli.experiment import STOPPED

LOGS = "logs"
OFF = 1  # a committed number is not as a fresh run has it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The study file, where its directory is, or what to check."""
    add, path = parser.add_argument, pathlib.Path
    add("study", type=path, nargs="?", metavar="STUDY.toml", help="what to compare")
    add("--run-dir", type=path, metavar="DIR", help="where the study is, or will be")
    add("--resume", action="store_true", help="go on with the study in --run-dir")
    about = "cells that train at once (default: %(default)s)"
    add("--workers", type=int, default=1, metavar="INT", help=about)
    about = "where results.md and results.csv also go, such as beside STUDY.toml"
    add("--out", type=path, metavar="FOLDER", help=about)
    about = "folders of committed studies to compare with a short run"
    add("--check", type=path, nargs="+", metavar="FOLDER", help=about)
    add("--cell", metavar="NAME", help="train this cell of --run-dir alone")


def run(asked: argparse.Namespace) -> int:
    """Trains what is left of a study, and prints what it found."""
    from ple_jax.config import study as plans
    from ple_jax.parallel import runtime
    from ple_jax.show import console
    from ple_jax.train import loop

    check(asked)
    runtime.set_up()
    if asked.check:
        return check_all(asked.check)
    plan = plans.load(asked.study)
    place(asked)
    try:
        return trained(asked, plan)
    except loop.Stopped as stop:
        command = shlex.join(["ple-jax", *again(asked)])
        console.say(f"stopped by {stop}; continue with: {command}")
        return STOPPED


def check(asked: argparse.Namespace) -> None:
    """Raises a ValueError if it is not clear what to do."""
    from ple_jax import checks

    checks.at_least(1, **{"--workers": asked.workers})
    if asked.check and asked.study:
        raise ValueError("--check names folders of studies: name no STUDY.toml beside.")
    if not asked.check and not asked.study:
        raise ValueError(
            "Name a study, such as `ple-jax study experiments/studies/NAME/study.toml`"
            ", or folders to --check."
        )
    if (asked.resume or asked.cell) and not asked.run_dir:
        raise ValueError("--resume needs --run-dir, the study to go on with.")
    if asked.out and not asked.out.is_dir():
        raise ValueError(f"--out: there is no folder {str(asked.out)!r}.")


def place(asked: argparse.Namespace) -> None:
    """Makes the directory of a new study, or finds that of one that goes on."""
    from ple_jax.runs.directory import free_directory
    from ple_jax.studies import cells

    if asked.resume:
        return cells.check_same(asked.run_dir, asked.study)
    name = asked.study.resolve().parent.name
    asked.run_dir = asked.run_dir or free_directory(name)
    cells.create(asked.run_dir, asked.study)


def again(asked: argparse.Namespace) -> list[str]:
    """The command that goes on with a study."""
    plugins = [word for module in asked.plugin or () for word in ("--plugin", module)]
    command = ["study", str(asked.study), "--resume", "--run-dir", str(asked.run_dir)]
    return [*command, *plugins]


def trained(asked: argparse.Namespace, plan) -> int:
    """Trains the cells that are not finished, and shows the results of all."""
    from ple_jax.checks import check_known
    from ple_jax.show import console
    from ple_jax.studies import cells

    done = cells.finished(asked.run_dir, plan)
    left = [cell for cell in plan.cells if cell.name not in done]
    if asked.cell:
        check_known(asked.cell, [cell.name for cell in plan.cells], "cell of the study")
        left = [cell for cell in left if cell.name == asked.cell]
    console.say(
        f"study: {asked.run_dir}, {len(plan.cells)} cells, {len(left)} to train"
    )
    if asked.workers > 1 and not asked.cell:
        at_once(asked, [cell.name for cell in left])
    else:
        for cell in left:
            console.say(f"cell {cell.name}")
            cells.train(asked.run_dir, cell, plan.asked.search)
    return 0 if asked.cell else show(asked, plan)


def at_once(asked: argparse.Namespace, names: Sequence[str]) -> None:
    """Trains cells in processes of their own.

    Raises:
        ValueError: Some failed; the others are finished.
    """
    from ple_jax.show import console
    from ple_jax.studies import processes

    start, logs = [sys.executable, "-m", "ple_jax", *again(asked)], asked.run_dir / LOGS
    commands = {name: [*start, "--cell", name] for name in names}
    failed = []
    for name, status in processes.run_all(commands, logs, asked.workers):
        console.say(f"cell {name}: {'done' if not status else f'status {status}'}")
        failed += [name] if status else []
    if failed:
        words = processes.last_words(logs, failed[0])
        raise ValueError(
            f"{len(failed)} of {len(names)} cells failed; {logs} has what each said. "
            f"{failed[0]}: {words.removeprefix('error: ')}"
        )


def show(asked: argparse.Namespace, plan) -> int:
    """Writes and prints what all cells say together."""
    from ple_jax.show import console
    from ple_jax.studies import cells, findings, results

    done = cells.finished(asked.run_dir, plan)
    rows, seconds = findings.rows(plan, done), sum(r["seconds"] for r in done.values())
    ahead = findings.differences(asked.run_dir, plan, done)
    facts = results.facts_of(f"ple-jax study {asked.study}", seconds)
    searched = [cell for cell in plan.cells if plan.asked.search and cell.name in done]
    knobs = {cell.name: cells.found_knobs(asked.run_dir, cell) for cell in searched}
    for folder in filter(None, (asked.run_dir, asked.out)):
        results.write(folder, plan, rows, ahead, facts, knobs)
    console.show(*results.grids(plan, rows, ahead))
    for line in results.verdicts(plan, ahead):
        console.say(line)
    return 0


def check_all(folders: Sequence[pathlib.Path]) -> int:
    """Compares committed studies with short runs; says which numbers are off."""
    from ple_jax.show import console
    from ple_jax.studies.recheck import recheck

    status = 0
    for folder in folders:
        compared, off = recheck(folder)
        console.say(
            f"{folder}: {compared - len(off)} of {compared} numbers as recorded"
        )
        for one in off:
            console.say(f"  {one}")
        status = OFF if off else status
    return status
