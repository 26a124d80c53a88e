"""A sample of files, and what each of their columns holds."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data import arrow
from ple_jax.data.read import expand_patterns, number_rows, read_tables
from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk
from ple_jax.guess.formats import MARKS, SURE_MARKS, format_of
from ple_jax.schema import Format

MOST_ROWS = 300_000
MOST_BYTES = 256 << 20
# What the first lines do not show: what an error of reading then says, and helps.
BEYOND: dict[str, dict[str, Any]] = {
    "format.line_breaks": {"line_breaks": True},
    "format.encoding": {"encoding": "latin-1"},
}
MANY = 1000  # values that are looked at, where all would take long


@dataclasses.dataclass(frozen=True)
class Column:
    """The sampled values of a column.

    Attributes:
        name: Its name.
        codes: Each row's value, as its place in `values` (B,).
        values: The distinct texts; the last one is null and means missing.
        is_time: Whether it can order rows: it holds times, or numbers.
        is_list: Whether each row holds a list; the values are then those of its items.
        has_use: Whether its type is one that any role may have.
    """

    name: str
    codes: np.ndarray
    values: pa.Array
    is_time: bool = False
    is_list: bool = False
    has_use: bool = True

    @cached_property
    def counts(self) -> np.ndarray:  # (values - 1,)
        """How often each value occurs; missing ones do not count."""
        return np.bincount(self.codes, minlength=len(self.values))[:-1]

    @cached_property
    def texts(self) -> list[str]:
        """The distinct values, the most frequent first."""
        order = np.argsort(-self.counts, kind="stable")
        return self.values.take(pa.array(order)).to_pylist()

    @cached_property
    def missing(self) -> float:
        """The share of rows without a value."""
        return 1 - self.counts.sum() / max(len(self.codes), 1)

    @property
    def rows(self) -> int:
        """How many rows have a value."""
        return int(self.counts.sum())

    @cached_property
    def is_numeric(self) -> bool:
        """Whether all values are finite numbers."""
        return len(self.values) > 1 and bool(np.isfinite(self.numbers[:-1]).all())

    @cached_property
    def numbers(self) -> np.ndarray:  # (values,)
        """Each value as a number, the last one as NaN; NaN for all if one is none."""
        try:
            return arrow.as_numbers(self.values, ())
        except pa.ArrowException:
            return np.full(len(self.values), np.nan)

    @cached_property
    def is_whole(self) -> bool:
        """Whether all values are whole numbers."""
        return self.is_numeric and bool((self.numbers[:-1] % 1 == 0).all())

    @cached_property
    def has_leading_zeros(self) -> bool:
        """Whether a value is a code such as "012", which is not the number 12."""
        return bool(pc.any(pc.match_substring_regex(self.values, r"^0\d")).as_py())

    @cached_property
    def words(self) -> float:
        """Words in a value, on average over the most frequent values."""
        some = self.texts[:MANY]
        return sum(len(text.split()) for text in some) / max(len(some), 1)


@dataclasses.dataclass(frozen=True)
class Sample:
    """Rows from the beginning of files.

    Attributes:
        files: The files, as the user named them.
        form: How they are written.
        columns: Name -> what it holds.
        rows: How many rows were read.
        is_all: Whether there are no others.
    """

    files: tuple[str, ...]
    form: Format
    columns: dict[str, Column]
    rows: int
    is_all: bool


def sample_of(files: Sequence[str], most: int = MOST_ROWS) -> Sample:
    """Reads the beginnings of files, each up to the same number of rows.

    Raises:
        ValueError: A file is missing, is damaged, or has other columns than the first.
    """
    paths = expand_patterns(files)
    form = format_of(paths[0])
    each = lambda: [beginning(path, form, most // len(paths)) for path in paths]
    try:
        parts = each()
    except ValueError as error:
        changes = [new for said, new in BEYOND.items() if said in str(error)]
        if not changes:
            raise
        form = dataclasses.replace(form, **changes[0])
        parts = each()
    table = joined(paths, [table for table, _ in parts])
    read = Rows(Chunk(table, str(paths[0])), form)
    columns = {n: column_of(read, n, table.schema) for n in table.column_names}
    marks = missing_marks(columns.values())
    columns = {name: without(column, marks) for name, column in columns.items()}
    form = dataclasses.replace(form, missing=tuple(sorted(marks)))
    is_all = all(is_whole for _, is_whole in parts)
    return Sample(tuple(map(str, files)), form, columns, len(table), is_all)


def beginning(path: pathlib.Path, form: Format, most: int) -> tuple[pa.Table, bool]:
    """The first rows of a file, and whether these are all.

    Raises:
        ValueError: The file is damaged, or has a column twice.
    """
    parts, rows, size = [], 0, 0
    chunks = number_rows(read_tables(path, form), path)
    for chunk in chunks:
        names = chunk.table.column_names
        if len(set(names)) < len(names):
            twice = max(names, key=names.count)
            raise ValueError(f"{path} has the column {twice!r} more than once.")
        part = chunk.table.slice(0, max(most - rows, 1))
        parts.append(part)
        rows, size = rows + len(part), size + part.nbytes
        if rows >= most or size > MOST_BYTES:
            is_all = len(part) == len(chunk.table) and not any(True for _ in chunks)
            return together(parts), is_all
    return together(parts), True


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of one chunk."""
    whole = pa.concat_tables(tables, promote_options="permissive")
    return whole.unify_dictionaries().combine_chunks()


def joined(paths: Sequence[pathlib.Path], tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all files.

    Raises:
        ValueError: A file has other columns than the first.
    """
    names = tables[0].column_names
    for path, table in itertools.islice(zip(paths, tables, strict=True), 1, None):
        if odd := set(names) ^ set(table.column_names):
            raise ValueError(
                f"{paths[0]} and {path} are no files of one table: only one of them "
                f"has the column {sorted(odd)[0]!r}."
            )
    try:
        return together([table.select(names) for table in tables])
    except pa.ArrowException as error:
        raise ValueError(
            f"{', '.join(map(str, paths))} are no files of one table: {error}."
        ) from error


def column_of(read: Rows, name: str, types: pa.Schema) -> Column:
    """A column of a sample."""
    kind = arrow.simple_type(types.field(name).type)
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    nothing = pa.nulls(1, pa.string())
    try:
        if arrow.is_list(kind):
            _, codes, values = read.lists(name, "|")
            return Column(name, codes, values, is_list=True)
        codes, values = read.text(name)
    except ValueError:
        none = np.zeros(len(read), np.int64)
        return Column(name, none, nothing, has_use=False)
    clock = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    return distinct_again(Column(name, codes, values, clock))


def distinct_again(column: Column) -> Column:
    """The column with one place for each value: spaces may have been stripped."""
    codes, values = arrow.distinct(column.values)
    return dataclasses.replace(column, codes=codes[column.codes], values=values)


def missing_marks(columns: Iterable[Column]) -> set[str]:
    """The values that mean "not known" in these columns, as they are written.

    Words such as NULL always do. "None" or "-" do where all other values are numbers.
    """
    marks: set[str] = set()
    for column in columns:
        found = {text for text in column.texts if text.lower() in MARKS}
        marks |= {text for text in found if text.lower() in SURE_MARKS}
        if found and len(found) < len(column.texts):
            rest = without(column, found)
            marks |= found if rest.is_numeric else set()
    return marks


def without(column: Column, marks: set[str]) -> Column:
    """The column with these values as missing."""
    if not marks & set(column.texts):
        return column
    is_mark = pc.is_in(column.values, pa.array(sorted(marks)))
    values = pc.if_else(is_mark, pa.scalar(None, pa.string()), column.values)
    return distinct_again(dataclasses.replace(column, values=values))
