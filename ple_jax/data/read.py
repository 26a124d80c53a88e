"""Reads CSV, CSV.gz and Parquet files strictly, in chunks of bounded size."""

import glob
import gzip
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ple_jax.checks import check_known, nearest
from ple_jax.data.source import Chunk, Chunks, Stamp
from ple_jax.schema import Format, Schema

CSV_BLOCK = 16 << 20  # bytes of text
PARQUET_ROWS = 1 << 18


def read(
    files: Iterable[str | pathlib.Path], schema: Schema, labels: bool = True
) -> Chunks:
    """Reads the rows of all files, in order; values of text files stay strings.

    Args:
        files: Paths, or patterns with *; .parquet and .pq are Parquet, all else is
            text.
        schema: Says how text files are written, and which columns must exist.
        labels: If true, a file must have every column that training needs, and no
            others but ignored ones. If false, it must have the inputs; other columns
            do not matter.

    Raises:
        ValueError: A file is empty, truncated or malformed, or its columns do not fit
            the schema.
    """
    for path in expand_patterns(files):
        is_parquet = path.suffix in (".parquet", ".pq")
        tables = (
            _parquet_tables(path) if is_parquet else csv_tables(path, schema.format)
        )
        for chunk in number_rows(_with_path_in_errors(tables, path), path):
            if not chunk.first:
                check_columns(chunk.table.column_names, schema, labels, path)
            if len(chunk.table):
                yield chunk


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

    Raises:
        ValueError: A path or pattern matches no file.
    """
    found: list[pathlib.Path] = []
    for name in map(str, files):
        matches = sorted(glob.glob(str(pathlib.Path(name).expanduser())))
        if not matches:
            folder = pathlib.Path(name).parent
            beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
            hint = nearest(pathlib.Path(name).name, beside)
            raise ValueError(f"There is no file {name!r}.{hint}")
        found += map(pathlib.Path, matches)
    if not found:
        raise ValueError("Expected at least one file, got none.")
    return found


def csv_tables(path: pathlib.Path, form: Format) -> Iterator[pa.Table]:
    """Reads one text file block by block, with all columns as strings.

    A blank line is a row with a missing value if the file has one column; if it has
    more, a blank line is no row.
    """
    # A file may have a header although the format needs none: it may hold other
    # columns, or have them in another order.
    names = None if form.header or _is_header(path, form) else list(form.columns)
    reading = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK, column_names=names)
    parsing = pyarrow.csv.ParseOptions(delimiter=form.delimiter)
    # Open the file once just for its column names, to declare them all strings.
    first = pyarrow.csv.open_csv(path, read_options=reading, parse_options=parsing)
    types = {name: pa.string() for name in first.schema.names}
    first.close()
    parsing.ignore_empty_lines = len(types) > 1
    converting = pyarrow.csv.ConvertOptions(
        column_types=types, null_values=[], strings_can_be_null=False
    )
    with pyarrow.csv.open_csv(path, reading, parsing, converting) as batches:
        for batch in batches:
            yield pa.Table.from_batches([batch])


def _is_header(path: pathlib.Path, form: Format) -> bool:
    """Whether the first line names columns, although the format needs no header."""
    opening = gzip.open if path.suffix == ".gz" else open
    with opening(path, "rt", encoding="utf-8", errors="replace") as file:
        first = [name.strip() for name in file.readline().split(form.delimiter)]
    return set(first) <= set(form.columns)


def _parquet_tables(path: pathlib.Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for batch in file.iter_batches(PARQUET_ROWS):
            yield pa.Table.from_batches([batch])


def _with_path_in_errors(
    tables: Iterator[pa.Table], path: pathlib.Path
) -> Iterator[pa.Table]:
    """Passes tables on; an error of Arrow becomes a ValueError that names the file."""
    try:
        yield from tables
    except (pa.ArrowInvalid, pa.ArrowException, OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def check_columns(
    names: Sequence[str], schema: Schema, labels: bool, path: pathlib.Path
) -> None:
    """Raises a ValueError unless the schema names all columns, and only columns."""
    wanted = needed_columns(schema, labels)
    for name in wanted:
        if name not in names:
            raise ValueError(
                f"{path} has no column {name!r}, which the schema needs."
                f"{nearest(name, names)} Its columns: {', '.join(names)}."
            )
    if labels:
        for name in schema.leaking:
            check_known(name, names, f"column of {path} (leaking)")
        for name in schema.ignored:
            check_known(name, ["*", *names], f"column of {path} (ignored)")
    known = {*wanted, *schema.ignored, *schema.leaking}
    extra = [name for name in names if name not in known]
    if labels and extra and "*" not in schema.ignored:
        raise ValueError(
            f"{path} has columns that the schema does not name: {', '.join(extra)}. "
            'List them under `ignored`, or ignore all such columns: ignored = ["*"].'
        )


def needed_columns(schema: Schema, labels: bool = True) -> list[str]:
    """The columns that a file must have: to train, or without `labels` to be scored."""
    names = [field.name for field in schema.fields]
    names += [schema.domain] if schema.domain else []
    if labels:
        names += [task.label_column for task in schema.tasks]
        names += [n for n in (schema.user, schema.weight, schema.split.column) if n]
    return list(dict.fromkeys(names))
