"""Print the tables of a finished run, of a sweep, or of several seeds.

They are those that training ended with: nothing is computed anew. `evaluate` measures
a run again.
"""

import argparse
import pathlib

from ple_jax.cli import view


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The directory, and how to show it."""
    about = "the directory of a run, of a sweep, or of a trial"
    parser.add_argument("run", type=pathlib.Path, help=about)
    view.add_arguments(parser)


def run(asked: argparse.Namespace) -> None:
    """Prints the tables of the result."""
    from ple_jax.runs.directory import read_result, recorded_tree
    from ple_jax.show import results

    recorded_tree(asked.run)  # says what is no run directory
    result = read_result(asked.run)
    if result is None:
        raise ValueError(
            f"{asked.run} is not finished: continue it with `ple-jax train --resume "
            f"--run-dir {asked.run}`."
        )
    view.show(asked, result, lambda what: results.of_result(result, what))
