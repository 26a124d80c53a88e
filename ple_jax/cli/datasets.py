"""List the data sets: rows, tasks, domains, source and terms of each."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to list them."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(asked: argparse.Namespace) -> None:
    """Prints a table for each data set."""
    from ple_jax import datasets
    from ple_jax.show import console, tables

    found = {name: datasets.describe(name) for name in datasets.available()}
    if asked.json:
        return console.show_json(found)
    console.show(*tables.dataset_tables(found))
