"""Bring back a run that `ple-jax train --mirror URL` copied to an object store.

All files are checked by their hashes. `ple-jax train --resume --run-dir DIR --mirror
URL` goes on with the run.
"""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the copy is, and where the run will be."""
    parser.add_argument("url", metavar="URL", help="the address of the copy")
    about = "the run directory; it must be new"
    parser.add_argument("directory", type=pathlib.Path, metavar="DIR", help=about)


def run(asked: argparse.Namespace) -> int:
    """Makes the run directory."""
    from ple_jax.runs.copies import restore
    from ple_jax.show import console

    found = restore(asked.url, asked.directory)
    size = sum(size for _, size in found.files.values())
    console.say(
        f"{asked.directory}: {len(found.files):,} files, {size / 1e6:,.1f} MB, "
        f"step {found.step:,}"
    )
    return 0
