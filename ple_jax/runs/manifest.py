"""The manifest of a run directory: its format, and a checksum of each small file.

Every opening of the run checks these files whole, which takes about 2 s for each GB of
vocabularies. Arrays are too large for that: `ple-jax verify` reads them.

    {
     "format": 1,
     "files": {"experiment.toml": "6d1e..."},      written once, with the directory
     "results": {"result.json": "93a0..."}         written at each end of training
    }
"""

import hashlib
import pathlib
from collections.abc import Iterable
from typing import Any

from ple_jax.disk import read_json, write_json

MANIFEST, FORMAT = "manifest.json", 1


def write(directory: pathlib.Path, names: Iterable[str]) -> None:
    """Records files of a directory that never change, by their paths in it."""
    tree = {"format": FORMAT, "files": checksums(directory, names)}
    write_json(directory / MANIFEST, tree)


def seal(directory: pathlib.Path, names: Iterable[str]) -> None:
    """Records results, which the next training may replace."""
    if (directory / MANIFEST).is_file():
        results = checksums(directory, names)
        write_json(directory / MANIFEST, read(directory) | {"results": results})


def unseal(directory: pathlib.Path) -> None:
    """Forgets all results, before they are replaced."""
    if (directory / MANIFEST).is_file() and "results" in (tree := read(directory)):
        del tree["results"]
        write_json(directory / MANIFEST, tree)


def check(directory: pathlib.Path) -> bool:
    """Checks all files that never change; False if it is older than manifests.

    Raises:
        ValueError: A file is missing or has other bytes, or the manifest is damaged or
            of another format.
    """
    if not (directory / MANIFEST).is_file():
        return False
    for fault in faults(directory, read(directory)["files"]):
        raise ValueError(f"{fault} A run is never changed: make a new one.")
    return True


def check_result(directory: pathlib.Path, name: str) -> bool:
    """Checks a result; False if it is not recorded.

    Raises:
        ValueError: It has other bytes.
    """
    if not (directory / MANIFEST).is_file():
        return False
    results = read(directory).get("results", {})
    for fault in faults(directory, {k: v for k, v in results.items() if k == name}):
        raise ValueError(fault)
    return name in results


def faults(directory: pathlib.Path, wanted: dict[str, str]) -> Iterable[str]:
    """What is wrong with recorded files: one sentence each."""
    for name, checksum_then in wanted.items():
        path = directory / name
        if not path.is_file():
            yield f"{directory} is damaged: {path} is missing."
        elif (found := checksum(path)) != checksum_then:
            yield (
                f"{path} is not as it was written: its checksum is {found}, expected "
                f"{checksum_then}."
            )


def read(directory: pathlib.Path) -> dict[str, Any]:
    """What the manifest of a directory holds."""
    path = directory / MANIFEST
    tree = read_json(path)
    try:
        version, _ = tree["format"], dict(tree["files"])
        _ = dict(tree.get("results", {}))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged: it is no manifest ({error!r})."
        ) from error
    if version != FORMAT:
        raise ValueError(
            f"{path} has format {version!r}, but this ple_jax reads format {FORMAT}."
        )
    return tree


def checksums(directory: pathlib.Path, names: Iterable[str]) -> dict[str, str]:
    """The checksum of each file, by its path in the directory."""
    return {name: checksum(directory / name) for name in sorted(names)}


def checksum(path: pathlib.Path) -> str:
    """BLAKE2b of a file, 16 bytes in hex."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return digest.hexdigest()
