"""How a text file is written: what stands between columns, and whether it has names."""

import csv
import dataclasses
import io
import pathlib
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from ple_jax.data.file_kinds import (
    UNREADABLE,
    is_parquet,
    marked_encoding,
    open_text,
)
from ple_jax.schema import Format

HEAD = 1 << 18  # bytes
MOST_LINES = 500
DELIMITERS = ",;\t|\x01^ "
MARKS = set(
    ["na", "n/a", "null", "nan", "none", "nil", "?", "-", "\\n", "unknown", "."]
)
SURE_MARKS = set(["n/a", "null", "nan", "?", "\\n"])  # mean it between words too

Row = Sequence[str]


def format_of(path: pathlib.Path) -> Format:
    """How a file is written; that of a Parquet file is the default.

    Raises:
        ValueError: The file is no table, or cannot be read.
    """
    try:
        if is_parquet(path):
            return Format()
        marked = marked_encoding(path)
        with open_text(path, "utf-8") as stream:
            raw = stream.read(HEAD)
    except (pa.ArrowException, OSError, EOFError, ValueError, *UNREADABLE) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    if len(raw) == HEAD:
        raw = raw.rpartition(b"\n")[0] or raw
    encoding = encoding_of(raw)  # of what is UTF-8 by now if there is a mark
    text = raw.decode(encoding, "replace").removeprefix("\ufeff")
    return dataclasses.replace(format_of_text(text), encoding=marked or encoding)


def encoding_of(raw: bytes) -> str:
    """The encoding of some lines: UTF-8 if they can be, else that of Windows.

    In UTF-16, every other byte of ASCII is 0: the second one, or the first.
    """
    zeros = raw[::2].count(0), raw[1::2].count(0)
    if max(zeros) > len(raw) / 8:
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    for encoding in ("utf-8", "cp1252"):
        try:
            raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def format_of_text(text: str) -> Format:
    """How a text is written, judged by its first lines."""
    tables = {d: rows_of(text, d) for d in DELIMITERS}
    delimiter = max(tables, key=lambda d: _fit(tables[d]))
    rows = tables[delimiter]
    if not rows:
        return Format()
    breaks = any("\n" in cell or "\r" in cell for row in rows for cell in row)
    if has_header(rows):
        return Format(delimiter=delimiter, line_breaks=breaks)
    columns = tuple(f"column_{i + 1}" for i in range(len(rows[0])))
    return Format(
        delimiter=delimiter, header=False, columns=columns, line_breaks=breaks
    )


def rows_of(text: str, delimiter: str) -> list[Row]:
    """The first rows of a text, if this stands between columns."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[Row] = []
    try:
        for row in reader:
            rows += [row] if row else []
            if len(rows) == MOST_LINES:
                break
    except csv.Error:
        return rows
    return rows


def _fit(rows: list[Row]) -> tuple[bool, float, int]:
    """How well rows fit one table: several columns, the same in all, many of them."""
    lengths = Counter(map(len, rows))
    if not lengths:
        return False, 0.0, 0
    length, times = lengths.most_common(1)[0]
    return length > 1, round(times / len(rows), 2), length


def has_header(rows: list[Row]) -> bool:
    """Whether the first row names the columns.

    A column is for it if only its first value is no number, and against it if its first
    value occurs again. Where neither is so, names are taken to be all different.
    """
    names = [cell.strip() for cell in rows[0]]
    below = [
        [row[i].strip() for row in rows[1:] if len(row) > i] for i in range(len(names))
    ]
    votes = sum(map(_vote, names, below))
    return votes > 0 or (votes == 0 and len(set(names)) == len(names))


def _vote(name: str, below: list[str]) -> int:
    known = [value for value in below if value and value.lower() not in MARKS]
    if known and all(map(is_number, known)):
        return -(name in known) if is_number(name) else 1
    return -(name in below)


def is_number(text: str) -> bool:
    """Whether a text spells a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
