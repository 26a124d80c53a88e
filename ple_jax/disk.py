"""Where files lie."""

import os
import pathlib


def cache_dir() -> pathlib.Path:
    """Where downloads, prepared data and compiled programs are kept for next time."""
    named = os.environ.get("PLE_JAX_CACHE")
    return pathlib.Path(named) if named else pathlib.Path.home() / ".cache" / "ple_jax"
