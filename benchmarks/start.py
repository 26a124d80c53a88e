"""How long from the command to the first dispatch of the main job?

    python benchmarks/start.py [--experiment FILE] [--json]

`ple-jax train` in new processes, stopped when its first dispatch is done. The first one
finds what it finds; by the later ones the data set is prepared and the step compiled.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile

import _measure

EXPERIMENT = pathlib.Path(__file__).parent.parent / "experiments" / "census_ple.toml"
AGAIN = 5
# `ple-jax train`, but that `loop.steps`, which yields after each dispatch, ends the
# process when its first one is done.
CHILD = """
import os, sys, jax
from ple_jax import cli, loop
steps = loop.steps
def first(*arguments):
    jax.block_until_ready(next(steps(*arguments)))
    os._exit(0)
loop.steps = first
sys.exit(cli.main(sys.argv[1:]) or "The command ended before its first dispatch.")
"""


def main() -> None:
    """Prints the seconds of the first start, and of the later ones."""
    parser = _measure.command(__doc__)
    parser.add_argument("--experiment", type=pathlib.Path, default=EXPERIMENT)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        starts = range(1 + (1 if asked.quick else AGAIN))
        taken = [
            _measure.seconds(start, asked.experiment, f"{folder}/{i}") for i in starts
        ]
    result = {
        "experiment": asked.experiment.stem,
        "first start, s": taken[0],
        "again, median s": statistics.median(taken[1:]),
        "again, best s": min(taken[1:]),
    }
    _measure.show("to the first dispatch", [result], asked.json)


def start(experiment: pathlib.Path, run_dir: str) -> None:
    """One start; its messages go to stderr."""
    command = [sys.executable, "-c", CHILD, "train", str(experiment)]
    subprocess.run([*command, "--run-dir", run_dir], stdout=sys.stderr, check=True)


if __name__ == "__main__":
    main()
