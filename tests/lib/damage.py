"""Copies of prepared data sets with a damaged file, and of the oldest format."""

import json
import pathlib

import numpy as np

from ple_jax.data.facts import FACTS, read_facts, write_facts


def rewrite(path: pathlib.Path, change) -> None:
    """Writes a file anew, so that nothing else that links to it changes."""
    content = bytearray(path.read_bytes())
    change(content)
    path.unlink()
    path.write_bytes(content)


def with_facts(folder, **changes):
    """Changes what dataset.json says, and seals it again."""
    facts = read_facts(folder) | changes
    (folder / FACTS).unlink()
    write_facts(folder, facts)


def with_array(folder, name, change, split="train"):
    """Changes an array of a copy, which then has no checksums: only values tell."""
    path = folder / split / f"{name}.npy"
    values = np.load(path)
    values = change(values)
    path.unlink()
    np.save(path, values)
    as_old(folder, rename=False)


def as_old(folder, rename=True, **changes):
    """Turns a copy into what format 1 was: bags named after columns, no checksums."""
    facts = read_facts(folder) | {"version": 1} | changes
    del facts["checksums"], facts["seal"]
    bags = [name for name in facts["arrays"] if name.startswith("bags/")]
    for split in facts["splits"] if rename else ():
        for i, name in enumerate(bags):
            (folder / split / f"bags/{i}.npy").rename(folder / split / f"{name}.npy")
    (folder / FACTS).unlink()
    (folder / FACTS).write_text(json.dumps(facts))
