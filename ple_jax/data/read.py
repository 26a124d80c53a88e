"""Reads CSV, CSV.gz and Parquet files strictly, one bounded chunk after another."""

import glob
import gzip
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ple_jax.checks import nearest
from ple_jax.data.source import Chunk, Chunks
from ple_jax.schema import Format, Schema

CSV_BLOCK = 16 << 20  # bytes of text
PARQUET_ROWS = 1 << 18


def read(
    files: Iterable[str | pathlib.Path], schema: Schema, labels: bool = True
) -> Chunks:
    """The rows of all files, in order; text comes as strings.

    Args:
        files: Paths, or patterns with *; .parquet is Parquet, all else is text.
        schema: Tells how text is written, and which columns there must be.
        labels: Whether all columns that training needs must be there, and no others
            but ignored ones; else only the inputs, and others do not matter.

    Raises:
        ValueError: A file is empty, cut off or malformed, or its columns do not fit.
    """
    for path in expand(files):
        is_parquet = path.suffix in (".parquet", ".pq")
        tables = _parquet(path) if is_parquet else csv_tables(path, schema.format)
        for chunk in numbered(_with_errors(tables, path), path):
            if not chunk.first:
                check_columns(chunk.table.column_names, schema, labels, path)
            if len(chunk.table):
                yield chunk


def numbered(tables: Iterable[pa.Table], path: pathlib.Path) -> Chunks:
    """One file's tables as chunks, which know the number of their first row.

    Raises:
        ValueError: They have no rows.
    """
    first = 0
    for table in tables:
        yield Chunk(table, str(path), first)
        first += len(table)
    if not first:
        raise ValueError(f"{path} has no rows.")


def expand(files: Iterable[str | pathlib.Path]) -> list[pathlib.Path]:
    """The files that paths and patterns name.

    Raises:
        ValueError: One names no file.
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
        raise ValueError("At least one file is needed.")
    return found


def csv_tables(path: pathlib.Path, form: Format) -> Iterator[pa.Table]:
    """The rows of one text file, block by block, every column as strings."""
    # A table of other columns, or in another order, may say so in a header line.
    names = None if form.header or _is_header(path, form) else list(form.columns)
    reading = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK, column_names=names)
    parsing = pyarrow.csv.ParseOptions(delimiter=form.delimiter)
    # The first pass over a file only asks for its columns; all of them are strings.
    first = pyarrow.csv.open_csv(path, read_options=reading, parse_options=parsing)
    types = {name: pa.string() for name in first.schema.names}
    first.close()
    converting = pyarrow.csv.ConvertOptions(
        column_types=types, null_values=[], strings_can_be_null=False
    )
    with pyarrow.csv.open_csv(path, reading, parsing, converting) as batches:
        for batch in batches:
            yield pa.Table.from_batches([batch])


def _is_header(path: pathlib.Path, form: Format) -> bool:
    """Whether the first line names columns, though none has to."""
    opening = gzip.open if path.suffix == ".gz" else open
    with opening(path, "rt", encoding="utf-8", errors="replace") as file:
        first = [name.strip() for name in file.readline().split(form.delimiter)]
    return set(first) <= set(form.columns)


def _parquet(path: pathlib.Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for batch in file.iter_batches(PARQUET_ROWS):
            yield pa.Table.from_batches([batch])


def _with_errors(tables: Iterator[pa.Table], path: pathlib.Path) -> Iterator[pa.Table]:
    """The same tables; what Arrow raises names the file."""
    try:
        yield from tables
    except (pa.ArrowInvalid, pa.ArrowException, OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def check_columns(
    names: Sequence[str], schema: Schema, labels: bool, path: pathlib.Path
) -> None:
    """Raises a ValueError for a column that is missing, or that nobody named."""
    wanted = needed(schema, labels)
    for name in wanted:
        if name not in names:
            raise ValueError(
                f"{path} has no column {name!r}, which the schema names."
                f"{nearest(name, names)} Its columns: {', '.join(names)}."
            )
    known = {*wanted, *schema.ignored, *schema.leaking}
    extra = [name for name in names if name not in known]
    if labels and extra and "*" not in schema.ignored:
        raise ValueError(
            f"{path} has columns that the schema does not name: {', '.join(extra)}. "
            'List them under `ignored`, or leave out all others by ignored = ["*"].'
        )


def needed(schema: Schema, labels: bool = True) -> list[str]:
    """The columns that a file must have to train (`labels`) or to be scored."""
    names = [field.name for field in schema.fields]
    names += [schema.domain] if schema.domain else []
    if labels:
        names += [task.label_column for task in schema.tasks]
        names += [n for n in (schema.user, schema.weight, schema.split.column) if n]
    return list(dict.fromkeys(names))
