"""Copies of prepared data sets that are changed: in a byte, in a value, in format."""

import json
import re
import zlib
from contextlib import contextmanager

import numpy as np

from ple_jax.data.facts import FACTS, read_facts, write_facts


@contextmanager
def allowed(kind, message):
    """Lets the block end, or raise this error with a matching message."""
    try:
        yield
    except kind as error:
        if not re.search(message, str(error)):
            raise


def rewrite(path, change):
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


def with_array(folder, file, change):
    """Replaces an array by another one, whose checksum is recorded."""
    path = folder / file
    array = change(np.load(path))
    path.unlink()
    np.save(path, array)
    checksum = f"{zlib.crc32(path.read_bytes()):08x}"
    with_facts(folder, checksums=read_facts(folder)["checksums"] | {file: checksum})


def as_old(folder):
    """Makes it what the oldest ones are: bags named after columns, no checksums."""
    facts = read_facts(folder) | {"version": 1}
    bags = [name for name in facts["arrays"] if name.startswith("bags/")]
    for i, name in enumerate(bags):
        for split in facts["splits"]:
            (folder / split / f"bags/{i}.npy").rename(folder / split / f"{name}.npy")
    rest = {k: v for k, v in facts.items() if k not in ("checksums", "blocks", "seal")}
    (folder / FACTS).unlink()
    (folder / FACTS).write_text(json.dumps(rest))
