"""A split as blocks of rows, each with its checksums, that are read one by one.

A block is so many rows, one after another, of every array of the split: a range of
bytes of each .npy file. Their checksums are in dataset.json. So a split that memory
does not hold is read from any block on, and never whole; what is read is checked.

    blocks   rows: of a block; checksums: file -> CRC-32 of each block, 8 digits each
"""

import dataclasses
import pathlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ple_jax.data.arrays import check_header
from ple_jax.data.examples import Examples
from ple_jax.data.places import array_files
from ple_jax.data.ranges import Expected, row_bytes
from ple_jax.data.remote import RemoteFile, again

BYTES = 1 << 21  # that the rows of a block take at most, unless one row takes more
DIGITS = 8  # of a CRC-32 in hex

Read = Callable[[int, int], bytes]  # of so many bytes from a place on
_T = TypeVar("_T")


class Piece(NamedTuple):
    """Some rows of a block, one after another."""

    block: int
    first: int  # within the block
    rows: int


def rows_of_block(size: int) -> int:
    """How many rows a block has: the most of a power of two that fit its bytes."""
    return 1 << max(BYTES // size, 1).bit_length() - 1


def index_of(
    directory: pathlib.Path, rows: Mapping[str, int], expected: Mapping[str, Expected]
) -> dict[str, Any]:
    """The checksums of all blocks of a data set, as `dataset.json` keeps them.

    Args:
        directory: Where the arrays are.
        rows: How many rows each split has.
        expected: What its arrays hold.
    """
    of_block = rows_of_block(row_bytes(expected))
    files = array_files(expected)
    each = [(split, name) for split in rows for name in expected]

    def checksums(split: str, name: str) -> str:
        path = directory / split / files[name]
        return _checksums(path, expected[name], rows[split], of_block)

    with ThreadPoolExecutor() as pool:  # zlib frees the lock
        found = pool.map(checksums, *zip(*each, strict=True))
        names = [f"{split}/{files[name]}" for split, name in each]
        return {"rows": of_block, "checksums": dict(zip(names, found, strict=True))}


def _checksums(path: pathlib.Path, expected: Expected, rows: int, each: int) -> str:
    with path.open("rb") as file:
        file.seek(check_header(file, path, expected, rows))
        blocks = (file.read(each * expected.row_bytes) for _ in range(0, rows, each))
        return "".join(f"{zlib.crc32(block):0{DIGITS}x}" for block in blocks)


@dataclasses.dataclass(frozen=True, eq=False)
class Blocks:
    """A split on disk.

    Attributes:
        files: Array -> where it lies.
        expected: Array -> what it holds.
        rows: How many rows the split has.
        of_block: How many rows a block has; the last one may have fewer.
        checksums: Array -> CRC-32 of each block in hex, one after another.
        at_once: How many arrays are read at once: an object store takes long to answer.

    Raises:
        ValueError: A file has another header or size; or the index has other blocks.
    """

    files: Mapping[str, pathlib.Path | RemoteFile]
    expected: Mapping[str, Expected]
    rows: int
    of_block: int
    checksums: Mapping[str, str]
    at_once: int = 1

    def __post_init__(self):
        for name, path in self.files.items():
            found, wanted = len(self.checksums[name]), DIGITS * len(self)
            if found != wanted:
                raise ValueError(
                    f"The index of the blocks of {path} is damaged: it has {found:,} "
                    f"digits, expected {wanted:,}."
                )
        _ = self._starts

    def __len__(self) -> int:
        return -(-self.rows // self.of_block)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of all arrays."""
        return row_bytes(self.expected)

    @cached_property
    def _starts(self) -> dict[str, int]:
        """Where the values of each file start."""

        def start(name: str) -> int:
            path = self.files[name]
            with path.open("rb") as file:
                return check_header(file, path, self.expected[name], self.rows)

        return {
            name: _tried(partial(start, name), path, "its header")
            for name, path in self.files.items()
        }

    def read(self, pieces: Sequence[Piece]) -> Examples:
        """Reads the rows of some pieces, one after another, each from a whole block.

        Raises:
            ValueError: A block is not as it was written; names its file and rows.
            OSError: A file is missing, or cannot be read.
        """
        with ThreadPoolExecutor(self.at_once) as pool:
            arrays = pool.map(lambda name: self._array(name, pieces), self.files)
            return Examples.of(dict(zip(self.files, arrays, strict=True)))

    def _array(self, name: str, pieces: Sequence[Piece]) -> np.ndarray:
        expected, place = self.expected[name], 0
        shape = (sum(piece.rows for piece in pieces), *expected.shape)
        array: np.ndarray = np.empty(shape, expected.dtype)
        with _reading(self.files[name]) as read:
            for piece in pieces:
                block = self._block(read, name, piece.block)
                end = place + piece.rows
                array[place:end] = block[piece.first : piece.first + piece.rows]
                place = end
        return array

    def _block(self, read: Read, name: str, number: int) -> np.ndarray:
        once = partial(self._read_block, read, name, number)
        what = f"its block {number + 1:,} of {len(self):,}"
        return _tried(once, self.files[name], what)

    def _read_block(self, read: Read, name: str, number: int) -> np.ndarray:
        expected, first = self.expected[name], number * self.of_block
        end = min(first + self.of_block, self.rows)
        start = self._starts[name] + first * expected.row_bytes
        wanted_size = (end - first) * expected.row_bytes
        data = read(start, wanted_size) if wanted_size else b""
        size, crc = len(data), f"{zlib.crc32(data):0{DIGITS}x}"
        wanted = self.checksums[name][DIGITS * number : DIGITS * (number + 1)]
        if size != wanted_size or crc != wanted:
            cut = f"ends after {size:,} of its {wanted_size:,} bytes"
            why = cut if size != wanted_size else f"has CRC-32 {crc}, not {wanted}"
            raise ValueError(
                f"{self.files[name]} is not as it was written: its block "
                f"{number + 1:,} of {len(self):,} (rows {first + 1:,} to {end:,}) "
                f"{why}. Put back the file as it was, or prepare the data set again."
            )
        shape = end - first, *expected.shape
        block: np.ndarray = np.frombuffer(data, expected.dtype).reshape(shape)
        expected.check(block, first, self.files[name])
        return block


def _tried(once: Callable[[], _T], file: pathlib.Path | RemoteFile, what: str) -> _T:
    """Reads once from disk; again from a store that fails."""
    return again(once, f"{file}: {what}") if isinstance(file, RemoteFile) else once()


@contextmanager
def _reading(file: pathlib.Path | RemoteFile) -> Iterator[Read]:
    """Reads of a file, which is open meanwhile if it is on disk."""
    if isinstance(file, RemoteFile):
        yield file.read
        return
    with file.open("rb") as opened:

        def read(start: int, size: int) -> bytes:
            opened.seek(start)
            return opened.read(size)

        yield read
