"""List which rows of the raw files are in which split.

Each line has the file, the number of the row in it, counted from 1 without the header,
and the split, in the order of the files. The columns that the schema names as `keys`
follow, if the files are still there.
"""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data set, and which of its rows go where."""
    add = parser.add_argument
    about = "a prepared data set, a run directory, or a sweep's"
    add("data", type=pathlib.Path, metavar="DATA_OR_RUN", help=about)
    about = "the rows of one split; by default those of all"
    add("--split", choices=("train", "validation", "test"), help=about)
    about = "a new .parquet or .csv file; by default CSV is printed"
    add("--out", type=pathlib.Path, help=about)
    add("--overwrite", action="store_true", help="replace the file --out if it exists")


def run(asked: argparse.Namespace) -> None:
    """Writes the rows."""
    from ple_jax.runs.directory import open_data
    from ple_jax.serve.rows import write_rows
    from ple_jax.show import console

    data = open_data(asked.data)
    rows = write_rows(data, asked.split, asked.out, asked.overwrite)
    if asked.out:
        console.say(f"{rows:,} rows: {asked.out}")
