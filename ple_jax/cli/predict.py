"""Score a file of raw columns, row by row in its order.

Of several trials, --ensemble gives the mean of their logits, as probabilities.
"""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, the file, and where the scores go."""
    add = parser.add_argument
    about = "a run directory; with --ensemble, one of several trials"
    add("run", type=pathlib.Path, help=about)
    add("file", help="CSV, plain or compressed, or Parquet; it needs no labels")
    add("--out", type=pathlib.Path, required=True, help="a new .parquet or .csv file")
    add("--overwrite", action="store_true", help="replace the file --out if it exists")
    about = "score by the mean logits of the trials of the best point"
    add("--ensemble", action="store_true", help=about)
    about = "columns of FILE to copy in front of the scores, beside the schema's `keys`"
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
    from ple_jax.serve.ensemble import load_ensemble
    from ple_jax.show import console
    from ple_jax.studies.best import best_members

    members = best_members(asked.run) if asked.ensemble else [open_run(asked.run)]
    runtime.set_up()
    beside = Beside(asked.keep, asked.domain, asked.split, asked.joint)
    rows = files.predict_file(
        members[0],
        asked.file,
        asked.out,
        asked.overwrite,
        asked.allow_unknown,
        beside,
        lambda: load_ensemble(members),
    )
    console.say(f"{rows:,} rows scored: {asked.out}")
