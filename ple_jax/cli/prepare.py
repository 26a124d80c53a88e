"""Prepare a data set once, without training."""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The experiment, and where its data set goes."""
    add = parser.add_argument
    add("experiment", type=pathlib.Path, help="a TOML file, for its section [data]")
    add("--out", type=pathlib.Path, metavar="DIR", help="a new folder; else the cache")
    add("--data-dir", metavar="DIR", help="where raw files lie; sets data.data_dir")


def run(asked: argparse.Namespace) -> None:
    """Prepares, and prints the size and base rates of each split."""
    from ple_jax import config
    from ple_jax.config import sweep
    from ple_jax.runs.directory import prepare_data
    from ple_jax.show import console, tables

    tree, _ = sweep.taken(config.load(asked.experiment))
    if asked.data_dir:
        tree.setdefault("data", {})["data_dir"] = asked.data_dir
    prepared = prepare_data(config.from_dict(tree).data, asked.out)
    console.show(tables.prepared_table(prepared))
