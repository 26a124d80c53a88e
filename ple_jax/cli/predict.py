"""Score a file of raw columns, row by row in its order."""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, the file, and where the scores go."""
    add = parser.add_argument
    add("run", type=pathlib.Path, help="a run directory")
    add("file", help="CSV, plain or compressed, or Parquet; it needs no labels")
    add("--out", type=pathlib.Path, required=True, help="a new .parquet or .csv file")
    add("--overwrite", action="store_true", help="replace the file --out if it exists")
    about = "columns of FILE to copy in front of the scores, such as keys"
    add("--keep", nargs="+", default=(), metavar="COLUMN", help=about)
    about = "add the column `domain`: the one that each row was scored in"
    add("--domain", action="store_true", help=about)
    about = "add the column `split`, known for files that the data set is made of"
    add("--split", action="store_true", help=about)
    about = "add the joint probability of each conditional task, such as buy_and_click"
    add("--joint", action="store_true", help=about)
    about = "score rows although train has no value of some field"
    add("--allow-unknown", action="store_true", help=about)


def run(asked: argparse.Namespace) -> None:
    """Writes the scores of the run's best checkpoint."""
    from ple_jax.parallel import runtime
    from ple_jax.runs.directory import open_run
    from ple_jax.serve import files
    from ple_jax.serve.columns import Beside
    from ple_jax.show import console

    chosen = open_run(asked.run)
    runtime.set_up()
    beside = Beside(asked.keep, asked.domain, asked.split, asked.joint)
    rows = files.predict_file(
        chosen, asked.file, asked.out, asked.overwrite, asked.allow_unknown, beside
    )
    console.say(f"{rows:,} rows scored: {asked.out}")
