"""Arrow columns of any type as a few plain ones, and their values as text or numbers.

A column may come as a view, in runs, as a dictionary with narrow indices, as an
extension type or in any kind of list; Arrow computes with few of these.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Texts that mean that a number is not known.
NOT_KNOWN = (
    *("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "Null"),
    *("None", "\\N"),
)
# What a value has that `plain_spelling` may write otherwise.
PERHAPS_NOT_PLAIN = r"[.+:]|^(True|TRUE|False|FALSE)$"
MOST_AT_ONCE = 1 << 20  # values that `plain_spelling` writes, of many
MOST_SHOWN = 80  # characters of a value or a type in an error


def brief(shown: str) -> str:
    """The text, or its beginning if it is too long for an error."""
    return shown if len(shown) <= MOST_SHOWN else f"{shown[: MOST_SHOWN - 3]}..."


def is_list(kind: pa.DataType) -> bool:
    """Whether a value of this type is a list of any kind."""
    kinds = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    return any(getattr(pa.types, f"is_{name}")(kind) for name in kinds)


def is_text(kind: pa.DataType) -> bool:
    """Whether a value of a simple type is text, perhaps as bytes."""
    return pa.types.is_string(kind) or pa.types.is_binary(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether a value of a simple type is a number."""
    types = pa.types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def simple_type(kind: pa.DataType) -> pa.DataType:
    """The plainest type for the same values; a type without a plainer one is itself."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return simple_type(kind.storage_type)
    if types.is_run_end_encoded(kind):
        return simple_type(kind.value_type)
    if types.is_dictionary(kind):
        return pa.dictionary(pa.int32(), simple_type(kind.value_type))
    if is_list(kind):
        return pa.list_(simple_type(kind.value_type))
    if types.is_null(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return pa.binary()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_decimal(kind) and kind.bit_width < 128:
        return pa.decimal128(kind.precision, kind.scale)
    return kind


def simplify(column: pa.Array) -> pa.Array:
    """The same values in the plainest type, which `simple_type` gives."""
    kind = column.type
    if same_type(kind, wanted := simple_type(kind)):
        return column
    if isinstance(column, pa.ExtensionArray):
        return simplify(column.storage)
    if pa.types.is_run_end_encoded(kind):
        return simplify(pc.run_end_decode(column))
    if pa.types.is_dictionary(kind):
        indices = column.indices.cast(pa.int32())
        return pa.DictionaryArray.from_arrays(indices, simplify(column.dictionary))
    if is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        offsets = pa.array(np.r_[0, np.cumsum(lengths)], pa.int32())
        items = simplify(pc.list_flatten(column))
        return pa.ListArray.from_arrays(offsets, items, mask=pc.is_null(column))
    return column.cast(wanted)


def same_type(kind: pa.DataType, other: pa.DataType) -> bool:
    """Whether two types are one; names of list items and order of categories aside."""
    if is_list(kind) and is_list(other):
        same = type(kind) is type(other)
        return same and same_type(kind.value_type, other.value_type)
    if pa.types.is_dictionary(kind) and pa.types.is_dictionary(other):
        same = kind.index_type == other.index_type
        return same and same_type(kind.value_type, other.value_type)
    return kind == other


def simplify_table(table: pa.Table) -> pa.Table:
    """Simplifies the columns that can be; the others stay, for their user to refuse."""
    for i, field in enumerate(table.schema):
        if not same_type(field.type, simple_type(field.type)):
            try:
                chunks = [simplify(chunk) for chunk in table.column(i).chunks]
            except pa.ArrowException:
                continue
            kind = chunks[0].type if chunks else simple_type(field.type)
            column = pa.chunked_array(chunks, kind)
            table = table.set_column(i, field.name, column)
    return table


def distinct(column: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Codes (n,) int64 into the distinct values that occur; the last one is null."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    size = len(column.dictionary)
    codes = pc.fill_null(column.indices, size).to_numpy().astype(np.int64)
    used = np.flatnonzero(np.bincount(codes, minlength=size + 1)[:size])
    values = column.dictionary
    if len(used) < size:
        place = np.full(size + 1, len(used))
        place[used] = np.arange(len(used))
        codes, values = place[codes], values.take(pa.array(used))
    return codes, pa.concat_arrays([values, pa.nulls(1, values.type)])


def as_text(values: pa.Array) -> pa.Array:
    """Values as strings; a whole number is written as an integer, NaN is null.

    Raises:
        pa.ArrowException: A value is no text, such as bytes that are not UTF-8.
    """
    kind = values.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        values = pc.cast(values, pa.timestamp(kind.unit, "UTC"))
    text = pc.cast(values, pa.string())
    if pa.types.is_string(kind):
        text.validate(full=True)  # UTF-8, which nobody has looked at yet
    if pa.types.is_decimal(kind) or pa.types.is_temporal(kind):
        return plain_spelling(text)
    if not pa.types.is_floating(kind):
        return text
    exact = pc.cast(values, pa.float64())
    whole = pc.and_(pc.equal(exact, pc.trunc(exact)), pc.less(pc.abs(exact), 2.0**63))
    integers = pc.cast(pc.if_else(whole, exact, None), pa.int64())
    text = pc.coalesce(pc.cast(integers, pa.string()), text)
    return pc.if_else(pc.is_nan(exact), None, text)


def plain_spelling(text: pa.Array) -> pa.Array:
    """Writes equal numbers, times and truth values the one way; keeps all else.

    "12" for "12.0", "12." and "+12", but a leading zero stays: "012" is a code.
    "2024-05-01 12:30:00.5" for "2024-05-01T12:30:00.500Z" and "+00:00"; "2024-05-01"
    at midnight. "true" for "True" and "TRUE".
    """
    number = r"^\+?(-?\d+(?:\.\d*?[1-9])?)\.?0*$"
    text = pc.replace_substring_regex(text, number, r"\1")
    if pc.any(pc.match_substring(text, ":")).as_py():
        clock = r"(\d\d:\d\d:\d\d)(?:(\.\d*?[1-9])0*|\.0*)?"
        moment = rf"^(\d{{4}}-\d\d-\d\d)[T ]{clock}(?:Z|\+00:?00)?$"
        text = pc.replace_substring_regex(text, moment, r"\1 \2\3")
        text = pc.replace_substring_regex(text, rf"^{clock}$", r"\1\2")
        midnight = r"^(\d{4}-\d\d-\d\d) 00:00:00$"
        text = pc.replace_substring_regex(text, midnight, r"\1")
    words = pc.is_in(text, pa.array(["True", "TRUE", "False", "FALSE"]))
    return pc.if_else(words, pc.ascii_lower(text), text)


def changed_by_plain_spelling(text: pa.Array) -> np.ndarray:  # (n,) int64
    """Places of the values that `plain_spelling` writes in another way."""
    starts = range(0, len(text), MOST_AT_ONCE)
    pieces = (first + _changed(text.slice(first, MOST_AT_ONCE)) for first in starts)
    return np.concatenate([np.zeros(0, np.int64), *pieces])


def _changed(text: pa.Array) -> np.ndarray:  # (n,) int64
    perhaps = pc.match_substring_regex(text, PERHAPS_NOT_PLAIN)
    places = np.flatnonzero(perhaps.fill_null(False).to_numpy(zero_copy_only=False))
    some = text.take(pa.array(places))
    changed = pc.not_equal(plain_spelling(some), some)
    return places[changed.to_numpy(zero_copy_only=False)]


def as_numbers(
    values: pa.Array, missing: Sequence[str]
) -> np.ndarray:  # (n,) float64, NaN where missing
    """Values as numbers; dates, times and durations are numbers of seconds.

    Args:
        values: Of a simple type.
        missing: Texts that mean missing, besides the empty one.

    Raises:
        pa.ArrowException: A text is no number, or a time is out of range.
    """
    if pa.types.is_temporal(values.type):
        return microseconds(values) / 1e6
    if is_text(values.type):
        text = pc.utf8_trim_whitespace(as_text(values))
        blank = pc.is_in(text, pa.array(["", *missing]))
        values = pc.if_else(blank, pa.scalar(None, pa.string()), text)
    return _floats(pc.cast(values, pa.float64(), safe=False))


def microseconds(values: pa.Array) -> np.ndarray:  # (n,) float64, NaN where missing
    """Whole microseconds: since 1970 in UTC, since midnight, or of a duration.

    Raises:
        pa.ArrowException: A time is out of range.
    """
    kind, wanted = values.type, pa.timestamp("us")
    if pa.types.is_duration(kind):
        wanted = pa.duration("us")
    elif pa.types.is_time(kind):
        wanted = pa.time64("us")
    # What is below a microsecond is dropped; what is out of range is an error.
    options = pc.CastOptions(wanted, allow_time_truncate=True)
    whole = pc.cast(pc.cast(values, options=options), pa.int64())
    return _floats(pc.cast(whole, pa.float64(), safe=False))


def _floats(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False).astype(np.float64)


def first_refused(values: pa.Array, convert: Callable[[pa.Array], Any]) -> int:
    """The place of the first value that `convert`, which refuses all, can't take."""
    taken, refused = 0, len(values)  # lengths of prefixes
    while refused - taken > 1:
        middle = (taken + refused) // 2
        try:
            convert(values.slice(0, middle))
            taken = middle
        except pa.ArrowException:
            refused = middle
    return refused - 1


def show_value(value: pa.Scalar) -> str:
    """A value for an error, whatever its type, such as bytes that are not UTF-8."""
    if pa.types.is_temporal(value.type):  # Python's times have a narrower range
        return repr(as_text(pa.array([value], value.type))[0].as_py())
    try:
        return brief(repr(value.as_py()))
    except (ValueError, OverflowError):
        is_string = pa.types.is_string(value.type)
        shown = repr(value.cast(pa.binary()).as_py()) if is_string else value.type
        return brief(str(shown))


def is_missing(values: pa.Array) -> np.ndarray:  # (n,) bool
    """Whether each value is null."""
    return pc.is_null(values).to_numpy(zero_copy_only=False)
