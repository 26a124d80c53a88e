"""Write a first schema and experiment for your own files.

It reads the files (CSV, compressed or not, or Parquet), guesses what each column is,
and writes NAME_schema.toml and NAME.toml. If a label is obvious, `ple-jax train
NAME.toml` trains them as they are. What is uncertain is a comment in the schema, to be
switched on in an editor.
"""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files, where to write, and what the user knows of columns."""
    add = parser.add_argument
    add("files", nargs="+", metavar="FILES", help="files of one table, or patterns")
    add("--out", type=pathlib.Path, default=".", metavar="DIR", help="where to write")
    add("--name", metavar="NAME", help="what to call it; else by the first file")
    add("--label", nargs="+", default=(), metavar="COLUMN", help="what to predict")
    about = "column of {}, or none"
    for role in ("time", "domain", "user"):
        add(f"--{role}", metavar="COLUMN", help=about.format(f"{role}s"))
    add("--overwrite", action="store_true", help="replace both files")


def run(asked: argparse.Namespace) -> None:
    """Guesses, writes both files, prints each column's role and what to do next."""
    from ple_jax.guess import start
    from ple_jax.guess.roles import Asked
    from ple_jax.show import console, tables

    known = Asked(tuple(asked.label), asked.time, asked.domain, asked.user)
    made = start.start(asked.files, known, asked.out, asked.name, asked.overwrite)
    columns = ["column", "what it is", "why"]
    console.show(tables.prose(f"{made.schema}", columns, start.rows(made.guess)))
    for line in start.next_steps(made):
        console.say(line)
