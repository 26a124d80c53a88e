"""Where files lie, and how they appear: whole or not at all.

What is being written has a name of its own, `.partial-HOST-RANDOM`, beside the name it
will get. It is locked for as long as its process lives, so that the next writer in the
same folder can tell what a dead one left behind, and remove it.
"""

import errno
import fcntl
import json
import os
import pathlib
import platform
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

# Names of other hosts are left alone: their locks may not be seen from here.
PARTIAL = f".partial-{zlib.crc32(platform.node().encode()):08x}-"
# What file systems answer that cannot sync a folder.
CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)


def whence(path: str | pathlib.Path) -> str:
    """From where a path counts, for the error that it is not there."""
    if pathlib.Path(path).is_absolute():
        return ""
    return (
        f" A relative path counts from the folder of the experiment that names it, or "
        f"from the working directory, {pathlib.Path.cwd()}."
    )


def cache_dir() -> pathlib.Path:
    """Where downloads, prepared data and compiled programs are kept for next time."""
    named = os.environ.get("PLE_JAX_CACHE")
    return pathlib.Path(named) if named else pathlib.Path.home() / ".cache" / "ple_jax"


def read_json(path: pathlib.Path) -> Any:
    """What a JSON file of ours holds.

    Raises:
        ValueError: It is not JSON, or not UTF-8; names the file, the line and column.
    """
    content = path.read_bytes()
    try:
        return json.loads(content.decode())
    except json.JSONDecodeError as error:
        where = f"{error.msg}: line {error.lineno}, column {error.colno}"
        raise ValueError(f"{path} is damaged: it is not JSON ({where}).") from error
    except UnicodeDecodeError as error:
        where = f"{error.reason}: byte {error.start}"
        raise ValueError(f"{path} is damaged: it is not UTF-8 ({where}).") from error
    except RecursionError as error:
        raise ValueError(f"{path} is damaged: it is nested too deep.") from error


def write_json(path: pathlib.Path, tree: Any) -> None:
    """Replaces a JSON file.

    Raises:
        ValueError: A number is not finite, for which JSON has no word.
    """
    try:
        text = json.dumps(tree, indent=1, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{path} cannot be written: {error}.") from error
    with replace_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


@contextmanager
def replace_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path to write to, and renames that file to `path` when the block ends.

    Readers see the old file or the whole new one, even if the power fails. An error in
    the block removes what was written and leaves `path` as it was. If `path` is a link,
    the link is replaced.
    """
    unlink = pathlib.Path.unlink
    with naming(path), _partial(path.parent, _make_file, unlink) as partial:
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)


@contextmanager
def new_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path to write to, and names that file `path` when the block ends.

    An error in the block removes what was written.

    Raises:
        FileExistsError: The path exists, before the block or after it.
    """
    check_new(path, "file")
    unlink = pathlib.Path.unlink
    with naming(path), _partial(path.parent, _make_file, unlink) as partial:
        yield partial
        sync(partial)
        check_new(path, "file")
        try:
            os.link(partial, path)  # a link never replaces, unlike a rename
        except FileExistsError:
            check_new(path, "file")
            raise
        except OSError:  # a file system without links
            partial.rename(path)
        sync(path.parent)


@contextmanager
def new_directory(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a directory to fill, and renames it to `path` when the block ends.

    An error in the block removes what was written.

    Raises:
        FileExistsError: The path exists, before the block or after it.
    """
    check_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _partial(path.parent, pathlib.Path.mkdir, shutil.rmtree) as partial:
        yield partial
        for folder, _, files in os.walk(partial):
            for name in (*files, "."):
                sync(pathlib.Path(folder, name))
        try:
            partial.rename(path)
        except OSError:
            check_new(path)  # another process may have finished first
            raise
        sync(path.parent)


def check_new(path: pathlib.Path, what: str = "directory") -> None:
    """Raises a FileExistsError if the path exists, be it a link that leads nowhere."""
    if os.path.lexists(path):
        raise FileExistsError(f"{path} already exists; choose a new {what}.")


def sync(path: pathlib.Path) -> None:
    """Waits until a file, or what a folder lists, is on the disk."""
    try:
        with naming(path):
            number = os.open(path, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise


@contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
    """Lets an error of the system in the block name this file, if it names none.

    Opening a file that cannot be opened names it; a write that fails does not.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


Change = Callable[[pathlib.Path], Any]


@contextmanager
def _partial(
    folder: pathlib.Path, make: Change, remove: Change
) -> Iterator[pathlib.Path]:
    """Makes something in a folder that nobody else has; removes it at the end.

    Its name cannot be guessed and must be new, so no link planted there is followed.
    """
    remove_leftovers(folder)
    path, lock = _made(folder, make)
    try:
        yield path
    finally:
        with suppress(OSError):
            remove(path)
        os.close(lock)


def _made(folder: pathlib.Path, make: Change) -> tuple[pathlib.Path, int]:
    """Makes and locks something in a folder; its path, and the lock's descriptor."""
    while True:
        path = folder / f"{PARTIAL}{secrets.token_hex(8)}"
        make(path)
        with suppress(FileNotFoundError):  # taken for a leftover before it was locked
            return path, _lock(path)


def _lock(path: pathlib.Path) -> int:
    """Locks what was just made, where the file system has locks.

    Raises:
        FileNotFoundError: It is gone.
    """
    number = os.open(path, os.O_RDONLY)
    with suppress(OSError):
        fcntl.flock(number, fcntl.LOCK_EX)
    if not path.exists():
        os.close(number)
        raise FileNotFoundError(path)
    return number


def remove_leftovers(folder: pathlib.Path) -> None:
    """Removes what processes of this host that have died were writing in a folder."""
    for path in folder.glob(f"{PARTIAL}*"):
        with suppress(OSError):  # it is in use, or another's, or gone by now
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(number)


def _make_file(path: pathlib.Path) -> None:
    path.touch(exist_ok=False)
