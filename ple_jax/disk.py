"""Where files lie, and how they appear: whole or not at all."""

import os
import pathlib
import shutil
import tempfile
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


@contextmanager
def new_directory(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a directory to fill, and renames it to `path` when the block ends.

    An error in the block removes what was written.

    Raises:
        FileExistsError: The path exists, before the block or after it.
    """
    check_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = pathlib.Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
    try:
        partial.chmod(0o755)
        yield partial
        partial.rename(path)
    except OSError:
        check_new(path)  # another process may have finished first
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_new(path: pathlib.Path) -> None:
    """Raises a FileExistsError if the path exists."""
    if path.exists():
        raise FileExistsError(f"{path} already exists; choose a new directory.")
