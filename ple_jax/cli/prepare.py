"""Prepare a data set once, without training.

By default one process reads all files. Files of kind 'table' can be read by several:

    ple-jax prepare shop.toml --workers 8                    processes of this machine
    ple-jax prepare shop.toml --engine spark --out DIR       or ray, or dask
    ple-jax prepare shop.toml --out DIR --shard 3/8          a job of an array of 8

A job array runs all its shards, 0 to 7 of 8, until one says that all are done; then
--merge makes the data set. What is prepared is the same, to the byte.
"""

import argparse
import pathlib
import re
from typing import Any

from ple_jax import engines

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The experiment, where its data set goes, and who prepares it."""
    add = parser.add_argument
    add("experiment", type=pathlib.Path, help="a TOML file, for its section [data]")
    add("--out", type=pathlib.Path, metavar="DIR", help="a new folder; else the cache")
    add("--data-dir", metavar="DIR", help="where raw files lie; sets data.data_dir")
    about = "what runs the workers: local (default), spark, ray or dask"
    add("--engine", choices=engines.available(), default="local", help=about)
    about = "processes that read files at once (default: %(default)s)"
    add("--workers", type=int, default=1, metavar="INT", help=about)
    about = "memory for the ids that a process counts; more go to disk (default: 512MB)"
    add("--memory", type=size, default=512 * 10**6, metavar="SIZE", help=about)
    about = "do what shard I, from 0, of N does next, and keep it in DIR.shards"
    add("--shard", metavar="I/N", type=shard, help=about)
    about = "make DIR from what all shards have done"
    add("--merge", action="store_true", help=about)


def run(asked: argparse.Namespace) -> None:
    """Prepares, and prints the size and base rates of each split."""
    from ple_jax import config
    from ple_jax.config import sweep
    from ple_jax.data.prepare import merge_shards
    from ple_jax.runs import directory
    from ple_jax.show import console, tables

    tree, _ = sweep.taken(config.load(asked.experiment))
    if asked.data_dir:
        tree.setdefault("data", {})["data_dir"] = asked.data_dir
    data = config.from_dict(tree).data
    if asked.shard:
        return do_shard(asked, data)
    if asked.merge:
        source, out = directory.source_of(data), needed_out(asked)
        prepared = merge_shards(source, out, memory=asked.memory)
    else:
        with engines.started(asked.engine, asked.workers) as engine:
            prepared = directory.prepare_data(
                data, asked.out, engine, memory=asked.memory
            )
    console.show(tables.prepared_table(prepared))


def size(text: str) -> int:
    """The bytes of a size such as "512MB" or "2 GB".

    Raises:
        ArgumentTypeError: It is not written so.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMG]?)B", text, re.IGNORECASE)
    if not found:
        raise argparse.ArgumentTypeError(
            f"expected a size such as 512MB or 2GB, got {text!r}"
        )
    return int(float(found[1]) * UNITS[found[2].upper()])


def shard(text: str) -> tuple[int, int]:
    """A shard's number and how many there are, of "3/8".

    Raises:
        ArgumentTypeError: It is not written so, or beyond the number.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    mine, of = map(int, found.groups()) if found else (0, 0)
    if mine >= of:
        raise argparse.ArgumentTypeError(
            f"expected I/N with I from 0 to N - 1, such as 0/8, got {text!r}"
        )
    return mine, of


def needed_out(asked: argparse.Namespace) -> pathlib.Path:
    """Where the data set of a job array goes.

    Raises:
        ValueError: It is not said, or an engine is asked for too.
    """
    if asked.out is None:
        raise ValueError("--shard and --merge need --out DIR, the same for all jobs.")
    if asked.workers != 1 or asked.engine != "local" or (asked.shard and asked.merge):
        raise ValueError(
            "--shard and --merge exclude each other, --engine and --workers: each "
            "shard is one process."
        )
    return asked.out


def do_shard(asked: argparse.Namespace, data: Any) -> None:
    """Does what a shard does next, and says what has to follow."""
    from ple_jax.data.job_array import WaitingError
    from ple_jax.data.prepare import prepare_shard
    from ple_jax.runs.directory import source_of
    from ple_jax.show import console

    try:
        out, (mine, of) = needed_out(asked), asked.shard
        prepare_shard(source_of(data), out, mine, of, asked.memory)
        console.say("All shards are done: make the data set by --merge.")
    except WaitingError as waiting:
        console.say(str(waiting))
