"""Finds the raw files of data sets in the folder that the user names; checks them."""

import gzip
import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from ple_jax.checks import nearest
from ple_jax.data.read import file_stamp


def data_folder(data_dir: str | None) -> pathlib.Path | None:
    """The folder of raw files: `data_dir`, else PLE_JAX_DATA, else None."""
    named = data_dir or os.environ.get("PLE_JAX_DATA")
    return pathlib.Path(named).expanduser() if named else None


def find_files(
    kind: str,
    files: Sequence[str],
    data_dir: str | None,
    how: str,
    sha256: str | None = None,
) -> list[pathlib.Path]:
    """Finds `files`, each plain or as .gz.

    Args:
        kind: Name of the data set; its files may lie in a subfolder of that name.
        files: Paths of the files below the folder.
        data_dir: The folder to search; None takes PLE_JAX_DATA.
        how: Where to get the files; ends every error.
        sha256: Checksum of the uncompressed content, if it is known.

    Raises:
        ValueError: A file is missing, or has another checksum.
    """
    root = data_folder(data_dir)
    if root is None:
        raise ValueError(
            f"{kind} needs {', '.join(files)} (plain or .gz): set --data.data-dir or "
            f"PLE_JAX_DATA to their folder. {how}"
        )
    paths = [_find_file(kind, root, file, how) for file in files]
    if sha256 is not None:
        for path in paths:
            check_sha256(path, sha256, how)
    return paths


def _find_file(kind: str, root: pathlib.Path, file: str, how: str) -> pathlib.Path:
    folders = [root / kind, root]
    if path := first_file(folders, [file]):
        return path
    beside = [p.name for f in folders if f.is_dir() for p in f.iterdir()]
    hint = nearest(pathlib.Path(file).name, beside)
    raise ValueError(
        f"{kind} needs {file} (plain or .gz), but neither {folders[0]} nor {root} "
        f"holds it.{hint} {how}"
    )


def first_file(
    folders: Iterable[pathlib.Path], names: Sequence[str]
) -> pathlib.Path | None:
    """The first file with one of these names, plain or as .gz, or None."""
    ends = [name + end for name in names for end in ("", ".gz")]
    paths = (folder / name for folder in folders for name in ends)
    return next((path for path in paths if path.is_file()), None)


def check_sha256(path: pathlib.Path, sha256: str, how: str) -> None:
    """Raises a ValueError if the uncompressed content has another sha256."""
    opening = gzip.open if path.suffix == ".gz" else open
    try:
        with opening(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}. {how}") from error
    if found != sha256:
        raise ValueError(
            f"{path} is not the published file: its sha256 is {found}, expected "
            f"{sha256}. {how}"
        )


def file_identity(path: pathlib.Path) -> list[Any]:
    """Plain values that identify a file without a known checksum: path and stamp."""
    return [str(path.resolve()), *file_stamp(path)]
