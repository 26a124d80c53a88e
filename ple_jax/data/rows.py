"""Raw columns as codes, numbers or lists. Every error names file, row and value."""

import copy

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.checks import nearest
from ple_jax.data.source import Chunk
from ple_jax.schema import Format


class Rows:
    """The rows of a chunk, or those that `where` selects, read column by column."""

    def __init__(self, chunk: Chunk, form: Format):
        self.table, self.origin, self.form = chunk.table, chunk.origin, form
        self.row_numbers = chunk.first + 1 + np.arange(chunk.table.num_rows)

    def __len__(self) -> int:
        return self.table.num_rows

    def where(self, mask: np.ndarray) -> "Rows":
        """Selects the rows where the mask (B,) is true."""
        some = copy.copy(self)
        some.table = self.table.filter(pa.array(mask))
        some.row_numbers = self.row_numbers[mask]
        return some

    def _column(self, name: str) -> pa.Array:
        if name not in self.table.column_names:
            raise ValueError(
                f"{self.origin} has no column {name!r}."
                f"{nearest(name, self.table.column_names)}"
            )
        column = self.table.column(name).combine_chunks()
        return column.combine_chunks() if hasattr(column, "num_chunks") else column

    def error(self, name: str, row: int | np.integer, expected: str) -> ValueError:
        """The error for a bad value: where it is, what was expected, what came."""
        value = self.table.column(name)[int(row)].as_py()
        return ValueError(
            f"{self.origin}, row {self.row_numbers[row]}, column {name!r}: expected "
            f"{expected}, got {value!r}."
        )

    def text(self, name: str) -> tuple[np.ndarray, pa.Array]:  # (B,) int64, values
        """Codes into an array of distinct strings; null means missing."""
        return factorize(self._column(name), self.form)

    def numbers(self, name: str) -> np.ndarray:  # (B,) float64, NaN where missing
        """Reads a column as numbers.

        Raises:
            ValueError: A value is infinite, or neither a number nor missing.
        """
        column = self._column(name)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = self._parse_numbers(name, column)
        elif pa.types.is_dictionary(column.type):
            column = self._parse_numbers(name, pc.cast(column, pa.string()))
        values = pc.cast(column, pa.float64(), safe=False)
        values = values.to_numpy(zero_copy_only=False).astype(np.float64)
        if np.isinf(values).any():
            raise self.error(name, np.isinf(values).argmax(), "a finite number")
        return values

    def _parse_numbers(self, name: str, column: pa.Array) -> pa.Array:
        column = pc.utf8_trim_whitespace(column)
        missing = pa.array(["", *self.form.missing])
        column = pc.if_else(
            pc.is_in(column, missing), pa.scalar(None, pa.string()), column
        )
        try:
            return pc.cast(column, pa.float64())
        except pa.ArrowInvalid:
            for row, value in enumerate(column.to_pylist()):
                if value is not None and not _is_number(value):
                    raise self.error(name, row, "a number") from None
            raise

    def times(self, name: str) -> np.ndarray:  # (B,) float64
        """Reads a column of numbers or times as numbers in the same order.

        Raises:
            ValueError: A value is missing, or neither a number nor an ISO 8601 time.
        """
        column = self._column(name)
        if pa.types.is_temporal(column.type):
            values = pc.cast(column, pa.timestamp("us"))
        elif pa.types.is_string(column.type):
            values = self._parse_times(name, column)
        else:
            values = column
        if values.null_count:
            row = np.argmax(pc.is_null(values).to_numpy(zero_copy_only=False))
            raise self.error(name, row, "a time")
        if pa.types.is_temporal(values.type):
            values = pc.cast(values, pa.int64())
        return values.to_numpy(zero_copy_only=False).astype(np.float64)

    def _parse_times(self, name: str, column: pa.Array) -> pa.Array:
        column = pc.utf8_trim_whitespace(column)
        for kind in (pa.float64(), pa.timestamp("us")):
            try:
                return pc.cast(column, kind)
            except pa.ArrowInvalid:
                continue
        raise ValueError(
            f"{self.origin}, column {name!r}: expected numbers or ISO 8601 times, got "
            f"values such as {column[0].as_py()!r}."
        )

    def lists(
        self, name: str, separator: str
    ) -> tuple[np.ndarray, np.ndarray, pa.Array]:
        """Reads the items of a column of lists; strings are split at the separator.

        Returns:
            Each item's row (items,) and code (items,), and the strings that the codes
            index. Missing items are left out.
        """
        column = self._column(name)
        if not pa.types.is_list(column.type):
            column = pc.split_pattern(as_text(column), separator)
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        codes, values = factorize(pc.list_flatten(column), self.form)
        rows = np.repeat(np.arange(len(column)), lengths)
        there = ~is_missing(values)[codes]
        return rows[there], codes[there], values


def factorize(column: pa.Array, form: Format) -> tuple[np.ndarray, pa.Array]:
    """Codes (n,) into an array of distinct strings; null means missing.

    Strings are stripped and compared once per distinct value, not once per row.
    """
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    values = as_text(column.dictionary)
    if form.strip:
        values = pc.utf8_trim_whitespace(values)
    missing = pc.is_in(values, pa.array(["", *form.missing]))
    values = pc.if_else(missing, pa.scalar(None, pa.string()), values)
    values = pa.concat_arrays([values, pa.nulls(1, pa.string())])
    codes = pc.fill_null(column.indices, len(values) - 1)
    return codes.to_numpy(zero_copy_only=False).astype(np.int64), values


def as_text(values: pa.Array) -> pa.Array:
    """Values as strings; a whole number is written as an integer, NaN is null."""
    text = pc.cast(values, pa.string())
    if pa.types.is_decimal(values.type):
        return plain_numbers(text)
    if not pa.types.is_floating(values.type):
        return text
    exact = pc.cast(values, pa.float64())
    whole = pc.and_(pc.equal(exact, pc.trunc(exact)), pc.less(pc.abs(exact), 2.0**63))
    integers = pc.cast(pc.if_else(whole, exact, None), pa.int64())
    text = pc.coalesce(pc.cast(integers, pa.string()), text)
    return pc.if_else(pc.is_nan(exact), None, text)


def plain_numbers(text: pa.Array) -> pa.Array:
    """Writes numbers the one way: "12" for "12.0", "12." and "+12"; keeps all else.

    A leading zero stays: "012" is a code, not the number 12.
    """
    number = r"^\+?(-?\d+(?:\.\d*?[1-9])?)\.?0*$"
    return pc.replace_substring_regex(text, number, r"\1")


def is_missing(values: pa.Array) -> np.ndarray:  # (n,) bool
    """Whether each value is null."""
    return pc.is_null(values).to_numpy(zero_copy_only=False)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
