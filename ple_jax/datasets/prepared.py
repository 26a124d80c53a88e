"""A data set that `ple-jax prepare` wrote; it trains without the raw files."""

import pathlib
from typing import Any

from ple_jax.data.store import Prepared


def build(directory: str) -> Prepared:
    """Opens the prepared data set itself, in place of a source of raw rows.

    Args:
        directory: The directory given to `ple-jax prepare --out`.
    """
    return Prepared.open(pathlib.Path(directory).expanduser())


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "a data set that `ple-jax prepare` wrote",
        "source": "data.directory",
    }
