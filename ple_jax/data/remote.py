"""Files in an object store, by fsspec: it is not needed otherwise."""

import importlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

A = TypeVar("A")

TRIES = 4  # of a read that fails
WAIT = 0.5  # seconds before the second one; twice as long before each next


def is_url(place: str) -> bool:
    """Whether a text names a place that is not in this machine's file system."""
    return "://" in place


def system_of(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
        ValueError: fsspec, or its driver of this kind of store, is not installed.
    """
    try:
        return importlib.import_module("fsspec.core").url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"{url} cannot be read: it needs fsspec, and its driver of this kind of "
            f"store, such as s3fs or gcsfs ({error})."
        ) from error


def again(read: Callable[[], A], what: str, done: str = "read") -> A:
    """What a read from a store gives: tried `TRIES` times, ever longer apart.

    Args:
        read: Is called; it may write as well.
        what: Names what it reads.
        done: What it does to that.

    Raises:
        ValueError: It failed each time; or what it read is not as it should be.
        FileNotFoundError: There is no such file, which is not tried again.
        PermissionError: Nor is what is forbidden.
    """
    for number in range(TRIES):
        if number:
            time.sleep(WAIT * 2 ** (number - 1))
        try:
            return read()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # drivers have errors of their own
            last = error
    if isinstance(last, ValueError):
        raise last
    said = " ".join(str(last).split()).rstrip(".") or type(last).__name__
    raise ValueError(f"{what} cannot be {done}, tried {TRIES} times: {said}.") from last


class RemoteFile(NamedTuple):
    """A file in an object store, which is opened like a path."""

    url: str

    def open(self, mode: str = "rb") -> Any:
        """Opens it; each read asks for its own range of bytes."""
        system, path = system_of(self.url)
        return system.open(path, mode, cache_type="none")

    def read(self, start: int, size: int) -> bytes:
        """Some bytes; fewer at its end."""
        system, path = system_of(self.url)
        return system.cat_file(path, start=start, end=start + size)

    def __str__(self) -> str:
        return self.url
