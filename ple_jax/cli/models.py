"""List the models, and the options of each."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to list them."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(asked: argparse.Namespace) -> None:
    """Prints one row a model."""
    from ple_jax import models
    from ple_jax.show import console, tables

    found = {name: models.describe(name) for name in models.available()}
    if asked.json:
        return console.show_json(found)
    console.show(tables.model_table(found))
