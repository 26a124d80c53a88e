"""Compare runs on the same rows: how far apart they are, and whether by chance.

All are compared with the first, by AUC (or RMSE) of each task, and of each domain. The
difference has 95 % intervals: over users, or examples, paired as DeLong's, and over
seeds where runs have several. A verdict is more than chance if its p-value, adjusted
by Holm for all in its table, is at most 0.05. It shows what differs in the experiments.

A RUN is a run directory, or one of several seeds, or a sweep, each point of which is
compared. Choose between runs by --split validation: test is for what was chosen.
"""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, the split, and how to show them."""
    add = parser.add_argument
    about = (
        "run directories of one data set; the first is what others are compared with"
    )
    add("runs", type=pathlib.Path, nargs="+", metavar="RUN", help=about)
    splits = ("train", "validation", "test")
    about = "which split (default: test, or validation if there is no test)"
    add("--split", choices=splits, help=about)
    add("--by-domain", action="store_true", help="show all domains, however many")
    about = "text, markdown or csv (default: %(default)s)"
    formats = ("text", "markdown", "csv")
    add("--format", default="text", choices=formats, help=about)
    add("--json", action="store_true", help="print one JSON object, with all there is")


def run(asked: argparse.Namespace) -> None:
    """Compares, says the verdict on stderr, and prints the tables."""
    from ple_jax.analysis.comparison import compare
    from ple_jax.parallel import runtime
    from ple_jax.show import compared, console
    from ple_jax.studies.sides import sides_of

    sides = sides_of(asked.runs)
    runtime.set_up()
    found = compare(sides, asked.split)
    if asked.json:
        return console.show_json(found)
    console.show_as(asked.format, *compared.grids(found, asked.by_domain))
    console.say("\n".join(compared.lines(found)))
