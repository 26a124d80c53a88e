"""Finds the raw files of data sets in the folder that a user names, and checks them."""

import gzip
import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from ple_jax.checks import nearest


def folder_of(data_dir: str | None) -> pathlib.Path | None:
    """The folder that `data_dir`, or else PLE_JAX_DATA, names."""
    named = data_dir or os.environ.get("PLE_JAX_DATA")
    return pathlib.Path(named).expanduser() if named else None


def find(
    kind: str,
    files: Sequence[str],
    data_dir: str | None,
    how: str,
    sha256: str | None = None,
) -> list[pathlib.Path]:
    """The paths of `files`, each plain or .gz.

    Args:
        kind: The data set; its files may lie in a subfolder of that name.
        files: Their names, which may hold folders.
        data_dir: The folder to search; None takes the one that PLE_JAX_DATA names.
        how: Where the files can be had, for the error.
        sha256: Of the uncompressed content, where it is known.

    Raises:
        ValueError: A file is not there, or not the one that it should be.
    """
    root = folder_of(data_dir)
    if root is None:
        raise ValueError(
            f"{kind} needs {', '.join(files)} (plain or .gz): name the folder by "
            f"--data.data-dir or PLE_JAX_DATA. {how}"
        )
    paths = [_found(kind, root, file, how) for file in files]
    if sha256 is not None:
        for path in paths:
            check(path, sha256, how)
    return paths


def _found(kind: str, root: pathlib.Path, file: str, how: str) -> pathlib.Path:
    folders = [root / kind, root]
    if path := first(folders, [file]):
        return path
    beside = [p.name for f in folders if f.is_dir() for p in f.iterdir()]
    hint = nearest(pathlib.Path(file).name, beside)
    raise ValueError(
        f"{kind} needs {file} (plain or .gz), but neither {folders[0]} nor {root} "
        f"holds it.{hint} {how}"
    )


def first(folders: Iterable[pathlib.Path], names: Sequence[str]) -> pathlib.Path | None:
    """The first of the folders' files that has one of the names, plain or with .gz."""
    ends = [name + end for name in names for end in ("", ".gz")]
    paths = (folder / name for folder in folders for name in ends)
    return next((path for path in paths if path.is_file()), None)


def check(path: pathlib.Path, sha256: str, how: str) -> None:
    """Raises a ValueError where the uncompressed content has another sha256."""
    opening = gzip.open if path.suffix == ".gz" else open
    try:
        with opening(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}. {how}") from error
    if found != sha256:
        raise ValueError(
            f"{path} is not the file that it should be: its sha256 is {found}, "
            f"expected {sha256}. {how}"
        )


def identity(path: pathlib.Path) -> list[Any]:
    """Plain values that change when a file, whose checksum nobody knows, does."""
    facts = path.stat()
    return [str(path.resolve()), facts.st_size, facts.st_mtime_ns]
