"""Where files lie, and how one appears: whole or not at all."""

import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager


def cache_dir() -> pathlib.Path:
    """Where downloads, prepared data and compiled programs are kept for next time."""
    named = os.environ.get("PLE_JAX_CACHE")
    return pathlib.Path(named) if named else pathlib.Path.home() / ".cache" / "ple_jax"


@contextmanager
def replace_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path to write to, and renames that file to `path` when the block ends.

    Readers see the old file or the whole new one. An error in the block removes what
    was written and leaves `path` as it was.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
