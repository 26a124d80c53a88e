"""Measure a run's best checkpoint on a split, or on files of labelled rows.

Files need the columns of inputs, labels, users and weights that the run's schema names,
and may have others. Of several trials, --ensemble measures the mean of their logits.
"""

import argparse
import pathlib
from typing import Any

from ple_jax.cli import view


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and what it is measured on."""
    add = parser.add_argument
    about = "a run directory; with --ensemble, one of several trials"
    add("run", type=pathlib.Path, help=about)
    about = "files of labelled rows: CSV or Parquet; by default a split is measured"
    add("files", nargs="*", metavar="FILE", help=about)
    splits = ("train", "validation", "test")
    add("--split", choices=splits, help="which split (default: test)")
    about = "measure the mean logits of the trials of the best point"
    add("--ensemble", action="store_true", help=about)
    about = "measure files although train has no value of some field"
    add("--allow-unknown", action="store_true", help=about)
    view.add_arguments(parser)


def run(asked: argparse.Namespace) -> None:
    """Evaluates, and prints a table by task, and by domain if there are several."""
    from ple_jax.show import measured

    if asked.files and asked.split:
        raise ValueError("Name files or a --split to measure, not both.")
    named, found = measure(asked)
    title = ", ".join(named.get("files", [named.get("split", "")]))
    of = lambda what: measured.of_split(title, found, what)
    view.show(asked, {**named, **found}, of)


def measure(asked: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is measured, by name, and its metrics."""
    from ple_jax.parallel import runtime
    from ple_jax.runs.directory import open_run
    from ple_jax.serve.ensemble import load_ensemble
    from ple_jax.serve.measure import measure_files
    from ple_jax.studies.best import best_members

    members = best_members(asked.run) if asked.ensemble else [open_run(asked.run)]
    named: dict[str, Any] = {"trials": len(members)} if asked.ensemble else {}
    runtime.set_up()
    scorer, variables = loaded = load_ensemble(members)
    if asked.files:
        found = measure_files(members[0], loaded, asked.files, asked.allow_unknown)
        return {**named, "files": asked.files}, found
    split = asked.split or "test"
    return {**named, "split": split}, scorer.report(variables, split)
