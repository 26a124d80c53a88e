"""Counts of values on disk, in parts that memory holds, where all of them are too many.

A run is what a process had counted when its memory was full: an Arrow file, of a record
batch for each value of the first bits of the values' hashes. So equal values lie in the
same part of every run, and the runs of all processes add up part by part.
"""

import dataclasses
import os
import pathlib
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from ple_jax.data.hashing import hash_texts, offsets_and_text
from ple_jax.disk import naming

BITS = 8
PARTS = 1 << BITS  # of a run, by the first bits of hashes
PIECE = 1 << 20  # of values, that are hashed or sorted at once
MOST_BYTES = 512 << 20  # of values with their counts, in each process
COLUMNS = pa.schema([("value", pa.large_string()), ("count", pa.int64())])


class Spill(NamedTuple):
    """Where that goes which memory should not hold.

    Attributes:
        folder: An empty folder that all processes reach.
        most: The bytes of values with their counts that a process holds. Adding up and
            sorting them takes about as many again.
    """

    folder: pathlib.Path
    most: int

    @property
    def piece(self) -> int:
        """The bytes that are added up or sorted at once."""
        return max(self.most // 4, 1)

    def share(self, fields: int) -> "Spill":
        """That of one of several fields."""
        return self._replace(most=self.most // max(fields, 1))

    def write(
        self, parts: Sequence[pa.Table], schema: pa.Schema = COLUMNS
    ) -> pathlib.Path:
        """Writes a run, of the parts that `by_hash` makes."""
        with naming(path := self._new_path()), ipc.new_file(str(path), schema) as file:
            for part in parts:
                columns = [column.combine_chunks() for column in part.columns]
                file.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        return path

    def keep(self, tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
        """All rows of these tables, mapped from a file that ends with this process."""
        with naming(path := self._new_path()):
            with ipc.new_file(str(path), schema) as file:
                for table in tables:
                    file.write_table(table)
            try:
                return ipc.open_file(pa.memory_map(str(path))).read_all()
            finally:
                path.unlink()

    def empty(self, size: int, dtype: npt.DTypeLike) -> np.ndarray:  # (size,)
        """An array; a large one is mapped from a file that ends with this process."""
        size_in_bytes = size * np.dtype(dtype).itemsize
        if size_in_bytes <= self.piece:
            return np.empty(size, dtype)
        with (
            naming(self.folder),
            tempfile.TemporaryFile(dir=self.folder) as file,
        ):
            file.truncate(size_in_bytes)
            if hasattr(os, "posix_fallocate"):  # which says at once if the disk is full
                os.posix_fallocate(file.fileno(), 0, size_in_bytes)
            return np.asarray(np.memmap(file, dtype, "r+", shape=(size,)))

    def join(self, texts: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Strings, none null, as one array of `large_string`, by `empty`."""
        chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
        size = sum(pc.sum(pc.binary_length(c)).as_py() or 0 for c in chunks)
        offsets = self.empty(len(texts) + 1, np.int64)
        text = self.empty(size, np.uint8)
        row = offsets[0] = 0
        for chunk in chunks:
            own, some = offsets_and_text(chunk)
            start, rows = offsets[row], len(chunk)
            offsets[row + 1 : row + rows + 1] = own[1:] + start
            text[start : start + len(some)] = some
            row += rows
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
        return pa.Array.from_buffers(pa.large_string(), len(texts), buffers)

    def _new_path(self) -> pathlib.Path:
        return self.folder / f"{secrets.token_hex(8)}.arrow"


def stack(
    rows: Iterable[Sequence[np.ndarray]], spill: Spill | None = None
) -> list[np.ndarray]:
    """Each column of these rows of arrays as one array, by their first axis.

    What memory should not hold is mapped from files that end with this process.
    """
    held: list[Sequence[np.ndarray]] = []
    size, columns = 0, list[_Column]()
    for row in rows:
        held.append(row)
        size += sum(array.nbytes for array in row)
        if spill and (columns or size > spill.piece):
            columns = columns or [_Column.of(spill.folder) for _ in row]
            _write_all(columns, held)
            held = []
    if columns:
        return [column.mapped() for column in columns]
    return [np.concatenate(arrays) for arrays in zip(*held, strict=True)]


@dataclasses.dataclass
class _Column:
    """An array on disk, which grows."""

    file: IO[bytes]
    rows: int = 0
    last: np.ndarray | None = None

    @classmethod
    def of(cls, folder: pathlib.Path) -> "_Column":
        """None of it, in a file without a name."""
        with naming(folder):
            return cls(tempfile.TemporaryFile(dir=folder))

    def append(self, array: np.ndarray) -> None:
        """Adds rows, all of one type and shape."""
        self.file.write(np.ascontiguousarray(array).data)
        self.rows, self.last = self.rows + len(array), array[:0]

    def mapped(self) -> np.ndarray:
        """The whole."""
        with self.file:
            self.file.flush()
            last = np.empty(0) if self.last is None else self.last
            shape = self.rows, *last.shape[1:]
            return np.asarray(np.memmap(self.file, last.dtype, "r", shape=shape))


def _write_all(
    columns: Sequence[_Column], rows: Iterable[Sequence[np.ndarray]]
) -> None:
    for row in rows:
        for column, array in zip(columns, row, strict=True):
            column.append(array)


def in_parts(
    runs: Sequence[pathlib.Path],
    most: int,
    add_up: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> Iterator[pa.Table]:
    """The rows of these runs by parts of values, in tables of about so many bytes.

    Args:
        runs: Files that `Spill.write` wrote, of one schema.
        most: The bytes.
        add_up: Called with each part, before parts are joined to tables.
    """
    files = [ipc.open_file(pa.memory_map(str(run))) for run in runs]
    waiting: list[pa.Table] = []
    for part in range(PARTS):
        batches = [file.get_batch(part) for file in files]
        waiting.append(add_up(pa.Table.from_batches(batches)))
        if sum(table.nbytes for table in waiting) > most:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def by_hash(whole: pa.Table) -> list[pa.Table]:
    """The parts of a table by the first bits of the hashes of its values."""
    parts: list[list[pa.Table]] = [[whole.slice(0, 0)] for _ in range(PARTS)]
    for first in range(0, len(whole), PIECE):
        piece = whole.slice(first, PIECE).combine_chunks()
        number = part_of(hash_texts(piece["value"].chunk(0)))
        ends = np.cumsum(np.bincount(number, minlength=PARTS))
        ordered = piece.take(pa.array(np.argsort(number, kind="stable")))
        for part, (start, end) in enumerate(zip(np.r_[0, ends], ends, strict=False)):
            parts[part].append(ordered.slice(start, end - start))
    return [pa.concat_tables(tables) for tables in parts]


def part_of(hashes: np.ndarray) -> np.ndarray:  # (n,) uint8
    """The part that each hash (n,) belongs to."""
    return (hashes >> np.uint64(64 - BITS)).astype(np.uint8)


def distinct(whole: pa.Table) -> pa.Table:
    """Each value of a table once, with the sum of its counts."""
    encoded = whole["value"].dictionary_encode().chunks
    if not encoded:
        return whole
    values, counts = encoded[-1].dictionary, whole["count"].to_numpy()
    codes = np.concatenate([chunk.indices for chunk in encoded])
    sums = np.bincount(codes, weights=counts, minlength=len(values))
    return pa.table([values, sums.astype(np.int64)], ["value", "count"])
