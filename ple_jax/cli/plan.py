"""Say what a training would need of devices that are not there.

    ple-jax plan shop.toml --devices 64 --kind h100

Memory of each device, bytes that a step moves, the least time that it can take by the
maker's peak figures and what binds it, the size of a checkpoint, and the input that
hosts have to give. Nothing is trained: all is read from shapes, and from the program
that XLA compiles for as many emulated devices. The data set must be prepared, at least
of a sample of the files; --rows and --examples then give the sizes of all of them.
Trials of a sweep, or of several seeds, are planned as they train: those of one program
together, one program after another.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

from ple_jax.cli.experiment import asked_for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The experiment, the devices, and sizes of data."""
    add = parser.add_argument
    add("experiment", type=pathlib.Path, metavar="EXPERIMENT.toml", help="what to plan")
    about = "how many devices train, whatever train.devices and train.mesh.data say"
    add("--devices", type=int, required=True, metavar="INT", help=about)
    about = "kind of device: a100, h100, h200, b200, v5e, v5p or v6e"
    add("--kind", required=True, help=about)
    about = "rows that tables are to have instead, such as item=1e8"
    add("--rows", nargs="+", type=rows, default=(), metavar="TABLE=ROWS", help=about)
    about = "examples that train is to have instead, such as 1e10"
    add("--examples", type=whole, metavar="INT", help=about)
    add("--data-dir", metavar="DIR", help="where raw files lie; sets data.data_dir")
    add("--json", action="store_true", help="print one JSON object")


def tree_of(asked: argparse.Namespace) -> dict[str, Any]:
    """The nested dicts of the experiment; {} for help that names none."""
    from ple_jax import config

    return config.load(asked.experiment) if asked.experiment else {}


def run(asked: argparse.Namespace) -> None:
    """Plans, and prints tables and sentences."""
    from ple_jax.plans import kinds
    from ple_jax.plans.job import jobs_of
    from ple_jax.plans.plan import plan
    from ple_jax.show import console, planned

    kinds.find(asked.kind)
    jobs = jobs_of(trials_of(asked), dict(asked.rows), asked.examples)
    each = [plan(job, asked.devices, asked.kind) for job in jobs]
    if asked.json:
        return console.show_json(each[0] if len(each) == 1 else {"programs": each})
    for found in each:
        console.show(*planned.grids(found))
        console.say("\n".join(planned.lines(found)))


def trials_of(asked: argparse.Namespace) -> Sequence[Any]:
    """The trials of the experiment: one without a name, or those of a sweep."""
    from ple_jax.config.sweep import Trial

    experiment, wanted = asked_for(tree_of(asked), asked)
    return wanted.trials if wanted else [Trial("", "", experiment)]


def rows(text: str) -> tuple[str, int]:
    """A table and its rows, of "item=1e8".

    Raises:
        ArgumentTypeError: It is not written so.
    """
    table, sign, count = text.rpartition("=")
    if not (table and sign):
        raise argparse.ArgumentTypeError(f"expected TABLE=ROWS, got {text!r}")
    return table, whole(count)


def whole(text: str) -> int:
    """A whole number from 1, of "1000000" or "1e6".

    Raises:
        ArgumentTypeError: It is none.
    """
    try:
        value = int(text) if text.isdigit() else float(text)
    except ValueError:
        value = 0.5
    if not (value >= 1 and value == value // 1):
        raise argparse.ArgumentTypeError(
            f"expected a whole number from 1, such as 1e8, got {text!r}"
        )
    return int(value)
