"""CRC-32 of every file of a prepared data set, and one hash of all."""

import hashlib
import pathlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

BLOCK = 1 << 22  # bytes that are read at a time


def compute_checksums(
    directory: pathlib.Path, files: Mapping[str, str]
) -> dict[str, Any]:
    """The fingerprint, and the CRC-32 of every file.

    Args:
        directory: Where the files lie.
        files: Name -> path in the directory. The fingerprint hashes names and bytes.
    """
    digest, checksums = hashlib.blake2b(digest_size=16), {}
    for name in sorted(files, key=lambda name: name.split("/")):
        crc = 0
        digest.update(name.encode("utf-8", "surrogatepass"))
        for block in _blocks(directory / files[name]):
            digest.update(block)
            crc = zlib.crc32(block, crc)
        checksums[files[name]] = f"{crc:08x}"
    return {"fingerprint": digest.hexdigest(), "checksums": checksums}


def check_bytes(path: pathlib.Path, wanted: str, named: object = None) -> None:
    """Raises a ValueError unless a file, whose bytes are `named`, has this CRC-32."""
    crc = 0
    for block in _blocks(path):
        crc = zlib.crc32(block, crc)
    check_crc(named or path, crc, wanted)


def check_crc(path: object, crc: int, wanted: str) -> None:
    """Raises a ValueError unless the CRC-32 of a file is the one wanted, in hex."""
    if (found := f"{crc:08x}") != wanted:
        raise ValueError(
            f"{path} is not as it was written: its CRC-32 is {found}, expected "
            f"{wanted}. Remove the data set, and prepare it again."
        )


def _blocks(path: pathlib.Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
