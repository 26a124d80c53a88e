"""A data set that `ple-jax prepare` has written: trains without the raw files."""

import pathlib
from typing import Any

from ple_jax.data.store import Prepared


def build(directory: str) -> Prepared:
    """The prepared data set itself, in place of raw rows.

    Args:
        directory: What `ple-jax prepare --out` was given.
    """
    return Prepared.open(pathlib.Path(directory).expanduser())


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows."""
    return {
        "summary": "a data set that `ple-jax prepare` has written",
        "rows": None,
        "tasks": {},
        "domains": {},
        "source": "data.directory",
        "terms": "",
    }
