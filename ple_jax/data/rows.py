"""Raw columns as codes, numbers or lists. Every error names file, row and value."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.checks import nearest
from ple_jax.data import arrow
from ple_jax.data.source import Chunk
from ple_jax.data.times import Times, choose_reader, is_ordered
from ple_jax.schema import Format

Convert = Callable[[pa.Array], Any]  # raises a pa.ArrowException
RowOf = Callable[[int], int | np.integer]  # place of a value -> a row that has it

# What a column that is used as such may hold.
NUMBERS = "numbers, times, or text that spells numbers"
TEXT = 'text in UTF-8 (or name its encoding: format.encoding = "latin-1")'
TIMES = "numbers, dates, timestamps or ISO 8601 text"
SCALARS = "text, numbers, truth values, dates or times, one a row"
LISTS = "text, or lists of text, numbers, truth values, dates or times"


class Rows:
    """The rows of a chunk, or those that `where` selects, read column by column."""

    def __init__(self, chunk: Chunk, form: Format):
        self.origin, self.form = chunk.origin, form
        self._types = chunk.table.schema
        table = arrow.simplify_table(chunk.table)
        # What no role can use, Arrow may not even select rows of.
        used = [i for i, kind in enumerate(table.schema.types) if _has_use(kind)]
        self.table = table.select(used)
        self.row_numbers = chunk.first + 1 + np.arange(chunk.table.num_rows)

    def __len__(self) -> int:
        return self.table.num_rows

    def where(self, mask: np.ndarray) -> "Rows":
        """Selects the rows where the mask (B,) is true."""
        some = copy.copy(self)
        some.table = self.table.filter(pa.array(mask))
        some.row_numbers = self.row_numbers[mask]
        return some

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""
        return name in self._types.names

    def with_column(self, name: str, column: pa.Array) -> "Rows":
        """Adds a column (B,)."""
        more = copy.copy(self)
        more.table = self.table.append_column(name, column)
        more._types = self._types.append(more.table.schema.field(name))
        return more

    def _column(
        self, name: str, fits: Callable[[pa.DataType], bool], expected: str
    ) -> pa.Array:
        """A column whose values, or those of its dictionary, have a type that fits."""
        names = self._types.names
        if name not in names:
            hint = nearest(name, names)
            raise ValueError(f"{self.origin} has no column {name!r}.{hint}")
        if names.count(name) > 1:
            raise ValueError(f"{self.origin} has the column {name!r} more than once.")
        there = name in self.table.column_names
        if not (there and fits(_value_type(self.table.schema.field(name).type))):
            raise ValueError(
                f"{self.origin}, column {name!r}: expected {expected}, got the type "
                f"{arrow.brief(str(self._types.field(name).type))}."
            )
        column = self.table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # as older versions give
            column = column.combine_chunks()
        return column

    def error(self, name: str, row: int | np.integer, expected: str) -> ValueError:
        """The error for a bad value: where it is, what was expected, what came."""
        value = arrow.show_value(self.table.column(name)[int(row)])
        return ValueError(
            f"{self.origin}, row {self.row_numbers[row]}, column {name!r}: expected "
            f"{expected}, got {value}."
        )

    def text(self, name: str) -> tuple[np.ndarray, pa.Array]:  # (B,) int64, values
        """Codes into an array of distinct strings; null means missing.

        Raises:
            ValueError: The column holds lists, durations or structures, or a value is
                no text.
        """
        codes, values = arrow.distinct(self._column(name, _is_scalar, SCALARS))
        return codes, self._as_text(name, values, lambda i: np.argmax(codes == i))

    def _as_text(self, name: str, values: pa.Array, row_of: RowOf) -> pa.Array:
        text = self._convert(name, values, arrow.as_text, TEXT, row_of)
        if self.form.strip:
            text = pc.utf8_trim_whitespace(text)
        missing = pc.is_in(text, pa.array(["", *self.form.missing]))
        return pc.if_else(missing, pa.scalar(None, pa.string()), text)

    def _convert(
        self,
        name: str,
        values: pa.Array,
        convert: Convert,
        expected: str,
        row_of: RowOf,
    ) -> Any:
        """Converts values; an error of Arrow becomes one that names a row."""
        try:
            return convert(values)
        except pa.ArrowException as error:
            bad = arrow.first_refused(values, convert)
            raise self.error(name, row_of(bad), expected) from error

    def numbers(self, name: str) -> np.ndarray:  # (B,) float64, NaN where missing
        """Reads a column as numbers; dates, times and durations are in seconds.

        Raises:
            ValueError: A value is infinite, or neither a number nor missing.
        """
        column = self._column(name, _is_countable, NUMBERS)
        convert = partial(
            arrow.as_numbers, missing=(*arrow.NOT_KNOWN, *self.form.missing)
        )
        if pa.types.is_dictionary(column.type) or arrow.is_text(column.type):
            codes, values = arrow.distinct(column)
            row_of = lambda i: np.argmax(codes == i)
            numbers = self._convert(name, values, convert, "a number", row_of)[codes]
        else:
            numbers = self._convert(name, column, convert, "a number", int)
        if np.isinf(numbers).any():
            raise self.error(name, np.isinf(numbers).argmax(), "a finite number")
        return numbers

    def times(self, name: str, missing: bool = False) -> Times:
        """Reads a column of numbers or times as numbers in the same order.

        Args:
            name: The column.
            missing: Whether values may be missing; they are then NaN.

        Raises:
            ValueError: A value is missing, neither a finite number nor a time, or of
                another kind than the first one.
        """
        column = self._column(name, is_ordered, TIMES)
        codes, values = arrow.distinct(column)
        if missing and arrow.is_text(values.type):
            values = self._as_text(name, values, lambda i: np.argmax(codes == i))
        kind, convert = choose_reader(values)
        row_of = lambda i: np.argmax(codes == i)
        times = self._convert(name, values[:-1], convert, kind, row_of)
        times = np.r_[times, np.nan][codes]
        good = np.isfinite(times) | (missing & np.isnan(times))
        if not good.all():
            raise self.error(name, np.argmin(good), kind)
        return Times(kind, times)

    def has_list(self, name: str) -> np.ndarray:  # (B,) bool
        """Whether each row of a column of lists, perhaps in text, has one."""
        column = self._column(name, _is_bag, LISTS)
        if arrow.is_list(column.type):
            return ~arrow.is_missing(column)
        codes, values = self.text(name)
        return ~arrow.is_missing(values)[codes]

    def lists(
        self, name: str, separator: str
    ) -> tuple[np.ndarray, np.ndarray, pa.Array]:
        """Reads the items of a column of lists; strings are split at the separator.

        Returns:
            Each item's row (items,) and code (items,), and the strings that the codes
            index. Missing items are left out.

        Raises:
            ValueError: The column holds neither text nor lists of it, or a value is no
                text.
        """
        column = self._column(name, _is_bag, LISTS)
        if not arrow.is_list(column.type):
            codes, values = self.text(name)
            column = pc.split_pattern(values, separator).take(pa.array(codes))
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        rows = np.repeat(np.arange(len(column)), lengths)
        codes, values = arrow.distinct(pc.list_flatten(column))
        values = self._as_text(name, values, lambda i: rows[np.argmax(codes == i)])
        there = ~arrow.is_missing(values)[codes]
        return rows[there], codes[there], values


def _value_type(kind: pa.DataType) -> pa.DataType:
    """The type of a dictionary's values, or the type itself."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _has_use(kind: pa.DataType) -> bool:
    return _is_bag(_value_type(kind)) or _is_countable(_value_type(kind))


def _is_scalar(kind: pa.DataType) -> bool:
    clock = pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    clock = clock or pa.types.is_time(kind) or pa.types.is_boolean(kind)
    return clock or arrow.is_text(kind) or arrow.is_number(kind)


def _is_countable(kind: pa.DataType) -> bool:
    return _is_scalar(kind) or pa.types.is_duration(kind)


def _is_bag(kind: pa.DataType) -> bool:
    return _is_scalar(_value_type(kind.value_type) if arrow.is_list(kind) else kind)
