"""What a file is, by its first bytes and not by its name; its text, as a stream."""

import codecs
import io
import lzma
import pathlib
import re
import zipfile
from typing import IO

import pyarrow as pa

NO_TABLE = "expected text or Parquet: save it as CSV or Parquet"
# How compressed files begin.
COMPRESSED = {
    rb"\x1f\x8b": "gzip",
    rb"BZh[1-9](1AY&SY|\x17rE8P\x90)": "bz2",
    rb"\xfd7zXZ\x00": "xz",
    rb"\x28\xb5\x2f\xfd": "zstd",
    rb"\x04\x22\x4d\x18": "lz4",
    rb"PK(\x03\x04|\x05\x06)": "zip",
}
OTHERS = {
    b"ARROW1\0\0": "an Arrow file",
    b"\x89HDF\r\n": "an HDF5 file",
    b"SQLite format 3\0": "an SQLite database",
    b"\xd0\xcf\x11\xe0\xa1\xb1": "an old Excel file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"Obj\x01": "an Avro file",
}
BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8",
}
PARQUET, PARQUET_ENDINGS = b"PAR1", (".parquet", ".pq")
UNREADABLE = (zipfile.BadZipFile, lzma.LZMAError)  # besides EOFError and OSError


def is_parquet(path: pathlib.Path) -> bool:
    """Whether a file begins and ends as Parquet does.

    Raises:
        ValueError: It is named so, but begins otherwise.
    """
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(-len(head), io.SEEK_END)
        tail = file.read()
    if path.suffix not in PARQUET_ENDINGS:
        return head == tail == PARQUET
    if head != PARQUET:
        raise ValueError(
            f"its name ends in {path.suffix}, but it begins with {head!r}, and Parquet "
            f"with {PARQUET!r}; if it is text, name it .csv"
        )
    return True  # if it is cut, Arrow says so


def compression_of(path: pathlib.Path) -> str | None:
    """How a file is compressed, or None."""
    with path.open("rb") as file:
        head = file.read(16)
    known = (name for magic, name in COMPRESSED.items() if re.match(magic, head))
    return next(known, "brotli" if path.suffix == ".br" else None)


def open_text(path: pathlib.Path, encoding: str) -> pa.NativeFile:
    """Opens a text file, decompressed, as a stream of UTF-8.

    A byte order mark says more of the encoding than `encoding` does.

    Raises:
        ValueError: It holds no text, or more than one file.
    """
    encoding = marked_encoding(path) or encoding
    if codecs.lookup(encoding).name == "utf-8":
        return _open(path)
    return pa.transcoding_input_stream(_open(path), encoding, "utf-8")


def marked_encoding(path: pathlib.Path) -> str | None:
    """The encoding that the byte order mark of a text file names; None without one.

    Raises:
        ValueError: It holds no text, or more than one file.
    """
    with _open(path) as stream:
        head = io.BufferedReader(stream).read(64)
    _check_text(head)
    marks = (e for mark, e in BYTE_ORDER_MARKS.items() if head.startswith(mark))
    return next(marks, None)


def _open(path: pathlib.Path) -> pa.NativeFile:
    """Opens a file as a stream of decompressed bytes."""
    compression = compression_of(path)
    if compression == "zip":
        return pa.PythonFile(_open_member(path), mode="r")
    if compression == "xz":
        return pa.PythonFile(lzma.open(path), mode="r")
    return pa.input_stream(str(path), compression=compression)


def _open_member(path: pathlib.Path) -> IO[bytes]:
    """Opens the only file in a ZIP archive."""
    archive = zipfile.ZipFile(path)
    files = [
        info
        for info in archive.infolist()
        if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    ]
    names = [info.filename for info in files]
    if "xl/workbook.xml" in names:
        raise ValueError("it is an Excel file; save each sheet as CSV")
    if len(files) != 1:
        listing = ", ".join(names[:10]) + ", ..." * (len(names) > 10)
        raise ValueError(
            f"it is a ZIP archive of {len(files)} files ({listing}), expected one; "
            "unpack it, and list its files"
        )
    if files[0].flag_bits & 1:
        raise ValueError("it is a ZIP archive with a password; unpack it")
    try:
        return archive.open(files[0])
    except NotImplementedError as error:
        raise ValueError(f"{error}; unpack it") from error


def _check_text(head: bytes) -> None:
    """Raises a ValueError for the beginning of what is surely no text."""
    if head.startswith(PARQUET + b"\x15"):  # begins the header of a page
        raise ValueError("it is a Parquet file, compressed or cut; decompress it")
    for magic, name in OTHERS.items():
        if head.startswith(magic):
            raise ValueError(f"it is {name}, {NO_TABLE}")


def lacks_end(path: pathlib.Path) -> bool:
    """Whether the last line of a plain text file has no end: it may be cut."""
    if compression_of(path):
        return False  # which has an end of its own, and is checked
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(size - 4, 0))
        # In UTF-16 and UTF-32, bytes of 0 may follow.
        return not re.search(rb"[\r\n]\0{0,3}\Z", file.read())
