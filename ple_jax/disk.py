"""Where files lie, and how they appear: whole or not at all."""

import os
import pathlib
import secrets
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
    was written and leaves `path` as it was. If `path` is a link, the link is replaced.
    """
    with _partial_file(path) as partial:
        yield partial
        partial.replace(path)


@contextmanager
def new_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path to write to, and names that file `path` when the block ends.

    An error in the block removes what was written.

    Raises:
        FileExistsError: The path exists, before the block or after it.
    """
    check_new(path, "file")
    with _partial_file(path) as partial:
        yield partial
        check_new(path, "file")
        try:
            os.link(partial, path)  # a link never replaces, unlike a rename
        except FileExistsError:
            check_new(path, "file")
            raise
        except OSError:  # a file system without links
            partial.rename(path)


@contextmanager
def _partial_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Creates an empty file beside `path` that nobody else has; removes it at the end.

    Its name cannot be guessed and must be new, so no link planted there is followed.
    """
    partial = path.with_name(f".partial-{secrets.token_hex(8)}")
    partial.touch(exist_ok=False)
    try:
        yield partial
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


def check_new(path: pathlib.Path, what: str = "directory") -> None:
    """Raises a FileExistsError if the path exists, be it a link that leads nowhere."""
    if os.path.lexists(path):
        raise FileExistsError(f"{path} already exists; choose a new {what}.")
