"""Text files, plain or compressed, as tables of strings, block by block."""

import io
import pathlib
import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ple_jax.data.arrow import brief, show_value
from ple_jax.data.file_kinds import open_text
from ple_jax.schema import Format

CSV_BLOCK = 16 << 20  # bytes of text that are read at once, and the most of one row
MOST_COLUMNS = 100_000
ON_BREAKS = (
    "Perhaps a quote opens and does not close; if values are meant to hold line "
    "breaks, set format.line_breaks = true"
)
ENCODINGS = 'such as format.encoding = "latin-1", "cp1252" or "utf-16-le"'


def csv_tables(path: pathlib.Path, form: Format) -> Iterator[pa.Table]:
    """Reads one text file block by block, with all columns as strings.

    A blank line is a row with a missing value if the file has one column; if it has
    more, a blank line is no row.

    Raises:
        ValueError: A row has too many or too few values, or is longer than a block, or
            a value holds a line break that the format does not allow, or the file is no
            text in the encoding of the format.
    """
    first_line = _read_first_line(path, form)
    _check_first_line(first_line, form)
    # A file may have a header although the format needs none: it may hold other
    # columns, or have them in another order.
    header = form.header or _is_header(first_line, form)
    done = 0
    try:
        with _open_strings(path, form, header) as batches:
            for batch in batches:
                if not form.line_breaks:
                    _check_line_breaks(batch, done)
                yield pa.Table.from_batches([batch])
                done += len(batch)
    except pa.ArrowInvalid as error:
        raise ValueError(_explain(str(error), done, header)) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"after row {done}: {_explain_bytes(error)}") from error


def _read_first_line(path: pathlib.Path, form: Format) -> bytes:
    """The first line in UTF-8 without its end; never more than a block."""
    try:
        with open_text(path, form.encoding) as stream:
            return io.BufferedReader(stream).readline(CSV_BLOCK).rstrip(b"\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"near its beginning: {_explain_bytes(error)}") from error


def _explain_bytes(error: UnicodeDecodeError) -> str:
    """What bytes are no text in which encoding, and what to do."""
    some = error.object[error.start : error.start + 4]
    return (
        f"expected text in {error.encoding.upper()}, got the bytes {some!r}. If it has "
        f"another encoding, name it, {ENCODINGS}"
    )


def _check_first_line(line: bytes, form: Format) -> None:
    """Raises a ValueError for a first line that is no text, or of very many columns."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data" or len(line) < CSV_BLOCK:
            raise ValueError(f"in its first line: {_explain_bytes(error)}") from error
    if b"\0" in line:
        raise ValueError(
            "its first line holds bytes of 0, so it is no text in UTF-8. If it has "
            f"another encoding, name it, {ENCODINGS}"
        )
    columns = line.count(form.delimiter.encode()) + 1
    if columns > MOST_COLUMNS:
        raise ValueError(
            f"expected at most {MOST_COLUMNS:,} columns, got {columns:,} in its first "
            "line"
        )


def _is_header(line: bytes, form: Format) -> bool:
    """Whether the first line names columns, although the format needs no header."""
    text = line.decode("utf-8", "replace").removeprefix("\ufeff")
    return {name.strip() for name in text.split(form.delimiter)} <= set(form.columns)


def _open_strings(
    path: pathlib.Path, form: Format, header: bool
) -> pyarrow.csv.CSVStreamingReader:
    """Opens a file with all columns as strings."""
    names = None if header else list(form.columns)
    # Without threads Arrow knows the number of a bad row, and is no slower.
    reading = pyarrow.csv.ReadOptions(
        block_size=CSV_BLOCK, column_names=names, use_threads=False
    )
    parsing = pyarrow.csv.ParseOptions(
        delimiter=form.delimiter, newlines_in_values=form.line_breaks
    )
    # Open the file once just for its column names, to declare them all strings.
    stream = open_text(path, form.encoding)
    with stream, pyarrow.csv.open_csv(stream, reading, parsing) as first:
        types = {name: pa.string() for name in first.schema.names}
    parsing.ignore_empty_lines = len(types) > 1
    converting = pyarrow.csv.ConvertOptions(
        column_types=types,
        null_values=[],
        strings_can_be_null=False,
        check_utf8=False,  # Rows does, and knows the row
    )
    whole = open_text(path, form.encoding)
    return pyarrow.csv.open_csv(whole, reading, parsing, converting)


def _check_line_breaks(batch: pa.RecordBatch, first: int) -> None:
    """Raises a ValueError for a value that holds a line break; `first` has row 0."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        text = column.buffers()[2]
        if text is None or not _has_line_break(np.frombuffer(text, np.uint8)):
            continue
        breaks = pc.match_substring_regex(column, r"[\r\n]")
        row = pc.index(breaks, True).as_py()
        raise ValueError(
            f"row {first + row + 1}, column {name!r}: expected no line break, got "
            f"{show_value(column[row])}. {ON_BREAKS}"
        )


def _has_line_break(text: np.ndarray) -> bool:
    return bool((text == ord("\n")).any() or (text == ord("\r")).any())


def _explain(message: str, done: int, header: bool) -> str:
    """What Arrow says after `done` rows, or what it means."""
    wrong = re.search(
        r"Row #(\d+): Expected (\d+) columns, got (.*)", message, re.DOTALL
    )
    if wrong:
        row, columns, found = wrong.groups()
        return (
            f"row {int(row) - header}: expected {columns} columns, got {brief(found)}"
        )
    if "straddling" in message:
        return f"after row {done}: a row is longer than {CSV_BLOCK:,} bytes"
    if "out of sync" in message:
        return f"after row {done}: a value holds a line break. {ON_BREAKS}"
    if "cannot infer number of columns" in message:
        return f"its first line is longer than {CSV_BLOCK:,} bytes"
    return brief(message)
