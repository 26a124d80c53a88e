"""Read all of a run or a sweep, and name what is damaged.

The experiment, the schema, what was fitted on train, every array of the data, every
checkpoint, the journal and the result are read whole, and compared with the checksums
that were written with them. The status is 2 if anything is damaged.
"""

import argparse
import pathlib

DAMAGED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run."""
    parser.add_argument("run", type=pathlib.Path, help="a run directory, or a sweep's")


def run(asked: argparse.Namespace) -> int:
    """Verifies the directory, and those of its trials."""
    from ple_jax.runs import lock
    from ple_jax.runs.directory import experiment_file
    from ple_jax.show import console
    from ple_jax.train import verify

    experiment_file(asked.run)
    status = 0
    for directory in verify.directories(asked.run):
        owner = lock.recorded(directory / lock.OWNER)
        if owner and owner.may_live:
            console.say(f"{directory} is being trained by {owner}: it may change")
        found = verify.verify(directory)
        for fault in found.faults:
            console.say(f"damaged: {fault}")
        if found.unchecked:
            console.say(f"{directory}: no checksums of {', '.join(found.unchecked)}")
        if found.faults:
            status = DAMAGED
        else:
            console.say(f"{directory}: all is as it was written")
    return status
