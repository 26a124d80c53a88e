"""Print the tables of a finished run, of a sweep, or of several seeds.

They are those that training ended with: nothing is computed anew. `evaluate` measures
a run again.

--out FILE writes every number of a run, a sweep or a study instead, finished or not: a
row for each trial, epoch, split, domain, task and metric, for pandas and its like.
"""

import argparse
import pathlib

from ple_jax.cli import view


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The directory, and how to show it."""
    about = "the directory of a run, of a sweep, or of a trial; with --out, of a study"
    parser.add_argument("run", type=pathlib.Path, help=about)
    view.add_arguments(parser)
    about = "a new .parquet or .csv file for every number, one a row"
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help=about)
    about = "replace the file --out if it exists"
    parser.add_argument("--overwrite", action="store_true", help=about)


def run(asked: argparse.Namespace) -> None:
    """Prints the tables of the result."""
    from ple_jax.runs.directory import read_result, recorded_tree
    from ple_jax.show import results

    if asked.out:
        return write(asked)
    recorded_tree(asked.run)  # says what is no run directory
    result = read_result(asked.run)
    if result is None:
        raise ValueError(
            f"{asked.run} is not finished: continue it with `ple-jax train --resume "
            f"--run-dir {asked.run}`."
        )
    view.show(asked, result, lambda what: results.of_result(result, what))


def write(asked: argparse.Namespace) -> None:
    """Writes every number to a file."""
    from ple_jax.serve.output import check_output, open_output
    from ple_jax.show import console
    from ple_jax.studies.tidy import tidy

    check_output(asked.out, (), asked.overwrite)
    found = tidy(asked.run)
    with open_output(asked.out, found.schema, asked.overwrite) as out:
        out.write_table(found)
    console.say(f"{len(found):,} numbers: {asked.out}")
