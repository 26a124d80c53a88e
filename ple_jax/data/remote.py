"""Files in an object store, by fsspec: it is not needed otherwise."""

import importlib
from typing import Any, NamedTuple


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


class RemoteFile(NamedTuple):
    """A file in an object store, which is opened like a path."""

    url: str

    def open(self, mode: str = "rb") -> Any:
        """Opens it; each read asks for its own range of bytes."""
        system, path = system_of(self.url)
        return system.open(path, mode, cache_type="none")

    def __str__(self) -> str:
        return self.url
