"""How long does the main job take from the command to its first steps?

    python benchmarks/time_to_first_step.py [--experiment FILE] [--json]

`ple-jax train` starts in new processes, each ended when its first dispatch is done. The
first start uses the caches as they are; the later ones find the data set prepared and
the step compiled.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile

from lib import measure, report

EXPERIMENT = pathlib.Path(__file__).parent.parent / "experiments" / "census_ple.toml"
AGAIN = 5
# `ple-jax train`, except that `loop.steps`, which yields after each dispatch, ends the
# process after the first one.
CHILD = """
import os, sys, jax
from ple_jax.cli.main import main
from ple_jax.train import loop
steps = loop.steps
def first(*arguments):
    jax.block_until_ready(next(steps(*arguments)))
    os._exit(0)
loop.steps = first
sys.exit(main(sys.argv[1:]) or "The command ended before its first dispatch.")
"""


def main() -> None:
    """Print the seconds of the first start and of the later ones."""
    parser = report.command(__doc__)
    parser.add_argument("--experiment", type=pathlib.Path, default=EXPERIMENT)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        starts = range(1 + (1 if asked.quick else AGAIN))
        taken = [
            measure.seconds(start, asked.experiment, f"{folder}/{i}") for i in starts
        ]
    result = {
        "experiment": asked.experiment.stem,
        "first start, s": taken[0],
        "again, median s": statistics.median(taken[1:]),
        "again, best s": min(taken[1:]),
    }
    report.show("to the first dispatch", [result], asked.json)


def start(experiment: pathlib.Path, run_dir: str) -> None:
    """Start once; messages go to stderr."""
    command = [sys.executable, "-c", CHILD, "train", str(experiment)]
    subprocess.run([*command, "--run-dir", run_dir], stdout=sys.stderr, check=True)


if __name__ == "__main__":
    main()
