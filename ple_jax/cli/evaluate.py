"""Measure a run's best checkpoint on a split."""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and the split."""
    add = parser.add_argument
    add("run", type=pathlib.Path, help="a run directory")
    add("--split", default="test", choices=("train", "validation", "test"))
    add("--json", action="store_true", help="print one JSON object")


def run(asked: argparse.Namespace) -> None:
    """Evaluates, and prints a table, and one for each of several domains."""
    from ple_jax.parallel import runtime
    from ple_jax.runs.directory import open_run
    from ple_jax.serve import files
    from ple_jax.show import console, tables

    chosen = open_run(asked.run)
    runtime.set_up()
    scorer, variables = files.load_scorer(chosen)
    measured = {"split": asked.split, **scorer.report(variables, asked.split)}
    if asked.json:
        return console.show_json(measured)
    console.show(tables.metric_table(asked.split, measured["tasks"]))
    if len(measured["domains"]) > 1:
        for domain, tasks in measured["domains"].items():
            console.show(tables.metric_table(f"{asked.split}, domain {domain}", tasks))
