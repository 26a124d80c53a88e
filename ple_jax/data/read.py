"""Reads text files, compressed or not, and Parquet files, in chunks of bounded size."""

import functools
import glob
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from ple_jax.checks import check_known, listing, nearest
from ple_jax.data.csv_file import csv_tables
from ple_jax.data.derive import check_file_names
from ple_jax.data.file_kinds import UNREADABLE, is_parquet, lacks_end
from ple_jax.data.parquet_file import MOST_BYTES, parquet_tables
from ple_jax.data.source import Chunk, Chunks, Stamp
from ple_jax.derived import FILE, uses_file
from ple_jax.disk import whence
from ple_jax.schema import Format, Schema
from ple_jax.show import console


def read(
    files: Iterable[str | pathlib.Path], schema: Schema, labels: bool = True
) -> Chunks:
    """Reads the rows of all files, in order.

    All columns of text files are strings; strings of Parquet files are dictionaries.

    Args:
        files: Paths, or patterns with *. What a file is, its bytes say.
        schema: Says how text files are written, and which columns must exist.
        labels: If true, a file must have every column that training needs, and no
            others but ignored ones. If false, it must have the inputs; other columns
            do not matter.

    Raises:
        ValueError: A file is empty, truncated or malformed, or its columns do not fit
            the schema.
    """
    most = max(MOST_BYTES // row_bytes(schema), 1)
    paths = expand_patterns(files)
    check_file_names(paths, schema)
    for path in paths:
        checked = False
        for chunk in number_rows(read_tables(path, schema.format), path):
            if not checked:
                check_columns(chunk.table.column_names, schema, labels, path)
                checked = True
            for first in range(0, len(chunk.table), most):
                some = chunk.table.slice(first, most)
                yield chunk._replace(table=some, first=chunk.first + first)


def number_rows(tables: Iterable[pa.Table], path: pathlib.Path) -> Chunks:
    """Turns one file's tables into chunks that know the number of their first row.

    Raises:
        ValueError: The tables have no rows, or the file changes while they are read.
    """
    first, stamp = 0, file_stamp(path)  # before `tables` opens it
    for table in tables:
        if file_stamp(path) != stamp:
            raise ValueError(changed(path))
        yield Chunk(table, str(path), first, stamp)
        first += len(table)
    if not first:
        raise ValueError(f"{path} has no rows.")


def file_stamp(path: pathlib.Path) -> Stamp:
    """Size and times of change: where they stay the same, so do the bytes.

    Anybody can set the time of the last write (mtime), but not that of the last change
    (ctime), which another file in its place has too.
    """
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def changed(origin: str | pathlib.Path) -> str:
    """The message for a file that is not the one that was read before."""
    return f"{origin} changed while it was read. Let its writer end, then try again."


def expand_patterns(files: Iterable[str | pathlib.Path]) -> list[pathlib.Path]:
    """Lists the files that paths and patterns match, in order.

    A path that exists is itself, even if it could be a pattern.

    Raises:
        ValueError: A path or pattern matches no file, or what is none, or two of them
            the same file.
    """
    found: list[pathlib.Path] = []
    for name in map(str, files):
        path = pathlib.Path(name).expanduser()
        matches = [str(path)] if path.exists() else sorted(glob.glob(str(path)))
        if not matches:
            folder = pathlib.Path(name).parent
            beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
            hint = nearest(pathlib.Path(name).name, beside)
            raise ValueError(f"There is no file {name!r}.{hint}{whence(name)}")
        found += map(pathlib.Path, matches)
    for path in found:
        if not path.is_file():
            raise ValueError(f"{path} is a folder or device, expected a file.")
    if not found:
        raise ValueError("Expected at least one file, got none.")
    _check_different(found)
    return found


def _check_different(paths: Iterable[pathlib.Path]) -> None:
    """Raises a ValueError if two paths are one file, whose rows would come twice."""
    seen: dict[tuple[int, int], pathlib.Path] = {}
    for path in paths:
        facts = path.stat()
        other = seen.setdefault((facts.st_dev, facts.st_ino), path)
        if other is not path:
            again = (
                "is named twice" if other == path else f"is the same file as {other}"
            )
            raise ValueError(f"{path} {again}: its rows would come twice.")


def read_tables(path: pathlib.Path, form: Format) -> Iterator[pa.Table]:
    """Reads one file piece by piece.

    Raises:
        ValueError: The file is damaged, malformed, or not to be read; names it.
    """
    try:
        if is_parquet(path):
            yield from parquet_tables(path)
            return
        yield from csv_tables(path, form)
    # Arrow's own errors, and those of Python's decoders below it.
    except (pa.ArrowException, OSError, EOFError, ValueError, *UNREADABLE) as error:
        raise ValueError(f"{path} cannot be read: {_one_line(error)}") from error
    if lacks_end(path):
        say_once(
            f"warning: the last line of {path} has no end; if the file was cut, its "
            "last value may be too"
        )


def _one_line(error: Exception) -> str:
    said = " ".join(str(error).split()).rstrip(".")
    return f"{said or type(error).__name__}."


say_once = functools.cache(console.say)


def row_bytes(schema: Schema) -> int:
    """About the bytes that an encoded row takes."""
    bags = [
        f.max_length for f in schema.fields if f.kind in ("multi_valued", "sequence")
    ]
    return 8 * (len(schema.fields) + len(schema.tasks)) + 4 * sum(bags)


def check_columns(
    names: Sequence[str], schema: Schema, labels: bool, path: pathlib.Path
) -> None:
    """Raises a ValueError unless the schema names all columns, and only columns."""
    wanted = needed_columns(schema, labels)
    for name in wanted:
        if list(names).count(name) > 1:
            raise ValueError(
                f"{path} has the column {name!r}, which the schema needs, twice."
            )
        if name not in names:
            raise ValueError(
                f"{path} has no column {name!r}, which the schema needs."
                f"{nearest(name, names)} Its columns: {listing(names)}."
            )
    if labels:
        for name in schema.leaking:
            check_known(name, names, f"column of {path} (leaking)")
        for name in schema.ignored:
            check_known(name, ["*", *names], f"column of {path} (ignored)")
    known = {*wanted, *schema.ignored, *schema.leaking}
    known |= {FILE} if uses_file(schema.columns(), schema.derived) else set()
    extra = [name for name in names if name not in known]
    if labels and extra and "*" not in schema.ignored:
        raise ValueError(
            f"{path} has columns that the schema does not name: {listing(extra)}. "
            'List them under `ignored`, or ignore all such columns: ignored = ["*"].'
        )


def needed_columns(schema: Schema, labels: bool = True) -> list[str]:
    """The columns that a file must have: to train, or without `labels` to be scored."""
    return schema.raw_columns(labels)
