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
    about = "score rows although train has no value of some field"
    add("--allow-unknown", action="store_true", help=about)


def run(asked: argparse.Namespace) -> None:
    """Writes the scores of the run's best checkpoint."""
    from ple_jax.parallel import runtime
    from ple_jax.runs.directory import open_run
    from ple_jax.serve import files
    from ple_jax.show import console

    chosen = open_run(asked.run)
    runtime.set_up()
    rows = files.predict_file(
        chosen, asked.file, asked.out, asked.overwrite, asked.allow_unknown
    )
    console.say(f"{rows:,} rows scored: {asked.out}")
