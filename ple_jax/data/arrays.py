"""One array of a split as a .npy file: written in order, read once, then mapped.

Writing appends, and never maps: a full disk is then an error of a write, where a map
ends the process. Reading computes the CRC-32 and checks the values in one pass. That
takes 0.5 s of a core for each GB that memory holds already, most of it for the CRC.
"""

import io
import pathlib
import zlib
from collections.abc import Iterator

import numpy as np

from ple_jax.data.checksums import check_crc
from ple_jax.data.ranges import Expected
from ple_jax.disk import naming

BLOCK = 1 << 20  # bytes that are read at a time: the cache of a core holds them
MOVED = 1 << 24  # bytes that are read at a time where they are only moved
FORMAT = (1, 0)  # of .npy files

Shape = tuple[int, ...]


def create_array(path: pathlib.Path, expected: Expected, rows: int) -> None:
    """Begins a file: the header of an array (rows, *expected.shape).

    Raises:
        FileExistsError: The path exists.
        OSError: The disk is full, or writing fails in another way; names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, "xb", memoryview(_header(expected, (rows, *expected.shape))))


def append_rows(path: pathlib.Path, array: np.ndarray) -> None:
    """Adds rows to a file that `create_array` began.

    Raises:
        OSError: As `create_array`.
    """
    _write(path, "ab", np.ascontiguousarray(array).ravel().view(np.uint8).data)


def append_file(path: pathlib.Path, other: pathlib.Path) -> None:
    """Adds the rows of another such file.

    Raises:
        OSError: As `create_array`.
    """
    with other.open("rb") as file:
        np.lib.format.read_magic(file)
        file.seek(int.from_bytes(file.read(2), "little"), io.SEEK_CUR)
        while block := file.read(MOVED):
            _write(path, "ab", memoryview(block))


def _header(expected: Expected, shape: Shape) -> bytes:
    """What the file of such an array begins with."""
    header = io.BytesIO()
    facts = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(expected.dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(header, facts)
    return header.getvalue()


def _write(path: pathlib.Path, mode: str, content: memoryview) -> None:
    with naming(path), path.open(mode, buffering=0) as file:
        while content:
            content = content[file.write(content) :]


def open_array(
    path: pathlib.Path, expected: Expected, rows: int, checksum: str | None = None
) -> np.ndarray:
    """Reads a file whole, checks it, and maps it: an array (rows, *expected.shape).

    Args:
        path: The file.
        expected: Its type, width and range of values.
        rows: How many rows it must have.
        checksum: Its CRC-32 in hex; None if none was recorded.

    Raises:
        ValueError: The file is not what is expected; names it.
    """
    shape = (rows, *expected.shape)
    with path.open("rb") as file:
        start = check_header(file, path, expected, rows)
        file.seek(0)
        crc = zlib.crc32(file.read(start))
        for first, block in _blocks(file, path, expected, shape):
            crc = zlib.crc32(block.data, crc)
            expected.check(block, first, path)
    if checksum is not None:
        check_crc(path, crc, checksum)
    return np.memmap(path, expected.dtype, "r", start, shape)


def check_header(
    file: io.BufferedReader, path: object, expected: Expected, rows: int
) -> int:
    """Checks the header and the size of a file; returns where the values start.

    A header as we write it is compared, not parsed: the parser of Python 3.11 may fail
    while other threads parse (CPython issue 106905).
    """
    shape = (rows, *expected.shape)
    header = _header(expected, shape)
    if file.read(len(header)) != header:
        file.seek(0)
        _parse_header(file, path, expected, shape)
    start = file.tell()
    size, wanted = file.seek(0, io.SEEK_END), start + expected.row_bytes * rows
    if size != wanted:
        raise ValueError(
            f"{path} is damaged: it has {size:,} bytes, expected {wanted:,}."
        )
    return start


def _parse_header(
    file: io.BufferedReader, path: object, expected: Expected, shape: Shape
) -> None:
    """Reads a header that another version of NumPy padded, or refuses it."""
    try:
        version = np.lib.format.read_magic(file)
        if version != FORMAT:
            raise ValueError(f"it has format {version}, expected {FORMAT}")
        found, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # Python itself parses the header: it may raise anything
        raise ValueError(f"{path} is damaged: it is no .npy file ({error}).") from error
    kind = np.dtype(expected.dtype)
    if (found, dtype, by_columns) != (shape, kind, False):
        order = ", column by column" if by_columns else ""
        raise ValueError(
            f"{path} is damaged: it holds {dtype} {found}{order}, expected {kind} "
            f"{shape}."
        )


def _blocks(
    file: io.BufferedReader, path: pathlib.Path, expected: Expected, shape: Shape
) -> Iterator[tuple[int, np.ndarray]]:
    """Numbers of first rows, and blocks (rows, ...); each overwrites the last one."""
    if not expected.row_bytes:
        return
    most = max(1, BLOCK // expected.row_bytes)
    most = 1 << (most.bit_length() - 1)  # a power of 2, for `extremes`
    buffer: np.ndarray = np.empty((min(most, shape[0]), *shape[1:]), expected.dtype)
    for first in range(0, shape[0], most):
        block = buffer[: shape[0] - first]
        if file.readinto(block.data) != block.nbytes:
            raise ValueError(f"{path} was cut while it was read.")
        yield first, block
