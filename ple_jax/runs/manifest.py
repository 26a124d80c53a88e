"""The manifest of a run directory: its format, and a checksum of each small file.

Every opening of the run checks these files whole, which takes about 2 s for each GB of
vocabularies. Arrays are too large for that: `ple-jax verify` reads them.
"""

import hashlib
import pathlib
from collections.abc import Iterable

from ple_jax.disk import read_json, write_json

MANIFEST, FORMAT = "manifest.json", 1


def write(directory: pathlib.Path, names: Iterable[str]) -> None:
    """Records files of a directory, by their paths in it."""
    files = {name: checksum(directory / name) for name in sorted(names)}
    write_json(directory / MANIFEST, {"format": FORMAT, "files": files})


def check(directory: pathlib.Path) -> bool:
    """Checks all recorded files; False if the directory is older than manifests.

    Raises:
        ValueError: A file is missing or has other bytes, or the manifest is damaged or
            of another format.
    """
    path = directory / MANIFEST
    if not path.is_file():
        return False
    for name, wanted in read(path).items():
        file = directory / name
        if not file.is_file():
            raise ValueError(f"{directory} is damaged: {file} is missing.")
        if (found := checksum(file)) != wanted:
            raise ValueError(
                f"{file} is not as it was written: its checksum is {found}, expected "
                f"{wanted}. A run is never changed: make a new one."
            )
    return True


def read(path: pathlib.Path) -> dict[str, str]:
    """The checksum of each file that a manifest names."""
    tree = read_json(path)
    try:
        version, files = tree["format"], dict(tree["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged: it is no manifest ({error!r})."
        ) from error
    if version != FORMAT:
        raise ValueError(
            f"{path} has format {version!r}, but this ple_jax reads format {FORMAT}."
        )
    return files


def checksum(path: pathlib.Path) -> str:
    """BLAKE2b of a file, 16 bytes in hex."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return digest.hexdigest()
