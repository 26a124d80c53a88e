"""Read all data of a run or a sweep, and name what is damaged.

The experiment, the schema, what was fitted on train, and every array are read whole.
Checkpoints and the journal have no checksums, and are not read.
"""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run."""
    parser.add_argument("run", type=pathlib.Path, help="a run directory, or a sweep's")


def run(asked: argparse.Namespace) -> None:
    """Verifies the data set of the directory, and those of its trials."""
    from ple_jax.data.store import Prepared
    from ple_jax.runs.directory import DATA, recorded_tree, trials_folder
    from ple_jax.show import console

    folder = trials_folder(asked.run)
    trials = sorted(folder.iterdir()) if folder.is_dir() else []
    for directory in (asked.run, *trials):
        recorded_tree(directory)
        Prepared.open(directory / DATA).verify()
        console.say(f"{directory}: experiment and data are as they were written")
