"""Finds the files of data sets that the user has fetched, and knows them again."""

import gzip
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from ple_jax.registry import nearest


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
    named = data_dir or os.environ.get("PLE_JAX_DATA")
    if not named:
        raise ValueError(
            f"{kind} needs {', '.join(files)} (plain or .gz): name the folder by "
            f"--data.data-dir or PLE_JAX_DATA. {how}"
        )
    root = pathlib.Path(named).expanduser()
    paths = [_first(kind, root, file, how) for file in files]
    if sha256 is not None:
        for path in paths:
            _check(path, sha256, how)
    return paths


def _first(kind: str, root: pathlib.Path, file: str, how: str) -> pathlib.Path:
    folders = [root / kind, root]
    for path in (folder / (file + end) for folder in folders for end in ("", ".gz")):
        if path.is_file():
            return path
    beside = [p.name for f in folders if f.is_dir() for p in f.iterdir()]
    hint = nearest(pathlib.Path(file).name, beside)
    raise ValueError(
        f"{kind} needs {file} (plain or .gz), but neither {folders[0]} nor {root} "
        f"holds it.{hint} {how}"
    )


def _check(path: pathlib.Path, expected: str, how: str) -> None:
    opening = gzip.open if path.suffix == ".gz" else open
    try:
        with opening(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}. {how}") from error
    if found != expected:
        raise ValueError(
            f"{path} is not the file that it should be: its sha256 is {found}, "
            f"expected {expected}. {how}"
        )


def identity(path: pathlib.Path) -> list[Any]:
    """Plain values that change when a file, whose checksum nobody knows, does."""
    facts = path.stat()
    return [str(path.resolve()), facts.st_size, facts.st_mtime_ns]
