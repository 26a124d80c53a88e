"""Reads text files, compressed or not, and Parquet files, in chunks of bounded size."""

import functools
import glob
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import unquote

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

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # the folder of rows without a value


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
    paths = expand_patterns(files)
    check_file_names(paths, schema)
    for path in paths:
        tables = read_tables(path, schema.format)
        yield from chunks_of_file(number_rows(tables, path), path, schema, labels)


def chunks_of_file(
    chunks: Chunks, path: pathlib.Path, schema: Schema, labels: bool = True
) -> Chunks:
    """Checks the columns of one file's chunks, and cuts those whose rows are wide."""
    most, checked = max(MOST_BYTES // row_bytes(schema), 1), False
    for chunk in chunks:
        chunk = with_partitions(chunk, path, needed_columns(schema, labels))
        if not checked:
            check_columns(chunk.table.column_names, schema, labels, path)
            checked = True
        for first in range(0, len(chunk.table), most):
            some = chunk.table.slice(first, most)
            yield chunk._replace(table=some, first=chunk.first + first)


def with_partitions(chunk: Chunk, path: pathlib.Path, wanted: Iterable[str]) -> Chunk:
    """Adds wanted columns that a file lacks, and that its folders have: NAME=VALUE.

    So Hive and Spark divide a table. Values are strings; one that stands for a missing
    value becomes the empty text.
    """
    table = chunk.table
    parts = dict(part.split("=", 1) for part in path.parent.parts if "=" in part)
    named = {unquote(name): unquote(value) for name, value in parts.items()}
    for name in wanted:
        if name in named and name not in table.column_names:
            value = "" if named[name] == NO_VALUE else named[name]
            table = table.append_column(name, pa.repeat(value, len(table)))
    return chunk._replace(table=table)


def number_rows(
    tables: Iterable[pa.Table], path: pathlib.Path, start: int = 0
) -> Chunks:
    """Turns one file's tables into chunks that know the number of their first row.

    Args:
        tables: Some rows of the file, in order.
        path: The file.
        start: Number of the first of them within the file, from 0.

    Raises:
        ValueError: The tables have no rows, or the file changes while they are read.
    """
    first, stamp = start, file_stamp(path)  # before `tables` opens it
    for table in tables:
        if file_stamp(path) != stamp:
            raise ValueError(changed(path))
        yield Chunk(table, str(path), first, stamp)
        first += len(table)
    if first == start:
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

    A path that exists is itself, even if it could be a pattern. A folder is all files
    below it, but for those whose names begin with "_" or ".", as Spark marks its own.

    Raises:
        ValueError: A path or pattern matches no file, or what is none, or two of them
            the same file.
    """
    found: list[pathlib.Path] = []
    for name in map(str, files):
        path = pathlib.Path(name).expanduser()
        if path.is_dir():
            found += files_below(path)
            continue
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


def files_below(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files below a folder, in order, but hidden ones and those of "_" names.

    Raises:
        ValueError: There are none.
    """
    names = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    kept = [n for n in names if not any(p.startswith(("_", ".")) for p in n.parts)]
    found = [folder / name for name in kept if (folder / name).is_file()]
    if not found:
        raise ValueError(f"{folder} is a folder without files, expected a file.")
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


def read_tables(
    path: pathlib.Path, form: Format, groups: Sequence[int] | None = None
) -> Iterator[pa.Table]:
    """Reads one file piece by piece, or of a Parquet file some row groups.

    Raises:
        ValueError: The file is damaged, malformed, or not to be read; names it.
    """
    with readable(path):
        if is_parquet(path):
            yield from parquet_tables(path, groups)
            return
        yield from csv_tables(path, form)
    if lacks_end(path):
        say_once(
            f"warning: the last line of {path} has no end; if the file was cut, its "
            "last value may be too"
        )


@contextmanager
def readable(path: pathlib.Path) -> Iterator[None]:
    """Raises a ValueError that names the file for what goes wrong with it."""
    try:
        yield
    # Arrow's own errors, and those of Python's decoders below it.
    except (pa.ArrowException, OSError, EOFError, ValueError, *UNREADABLE) as error:
        raise ValueError(f"{path} cannot be read: {_one_line(error)}") from error


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
