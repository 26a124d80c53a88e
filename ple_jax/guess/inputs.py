"""What one column may be as an input, or why it is none."""

import re
from collections import Counter
from typing import Literal, NamedTuple

import numpy as np

from ple_jax.guess import names
from ple_jax.guess.columns import MANY, Column
from ple_jax.schema import Field

ALMOST = 0.95  # distinct values a row, from which a column is a key
LEAST_ROWS = 50  # from which it is one
LONG_TEXT = 4.0  # words in a value
SEPARATORS = ("|", ";", ",", " ")
FEWEST_ITEMS = 50  # distinct lists, from which texts are taken for lists

Role = Literal["input", "label", "time", "split", "weight", "leaking", "ignored"]


class Decision(NamedTuple):
    """What a column is, and why; an input is a field."""

    role: Role
    reason: str
    field: Field | None = None


def input_of(column: Column) -> Decision:
    """What a column is, if it is neither a label nor orders or weighs the rows."""
    count, name = len(column.counts), column.name
    if not column.has_use:
        return Decision("ignored", "its type has no use")
    if not count:
        return Decision("ignored", "empty")
    if column.is_list:
        return Decision("input", "lists", Field(name, bag_kind(name)))
    if count == 1 and column.missing < 0.001:
        return Decision("ignored", f"always {shown(column.texts[0])}")
    if why := why_key(column):
        return Decision("ignored", why)
    if column.is_numeric and not is_named_by_numbers(column):
        return Decision("input", span(column) + gaps(column), Field(name, "numeric"))
    if separator := separator_of(column):
        why = f"lists, split at {separator!r}"
        return Decision("input", why, Field(name, bag_kind(name), separator=separator))
    if looks_like_time(column):
        return Decision("ignored", "a time, but not in ISO 8601: 2024-05-01 12:30:00")
    if column.words >= LONG_TEXT and count > column.rows / 2:
        words = f"{column.words:.0f} words a value"
        return Decision("ignored", f"text, of {words}: no two rows share it")
    what = f"{count:,} values" + gaps(column)
    return Decision("input", what, Field(name))


def gaps(column: Column) -> str:
    """Says how many values are missing, if some are."""
    return f", {column.missing:.1%} missing" if column.missing >= 0.0005 else ""


def span(column: Column) -> str:
    """The least and the greatest number."""
    known = column.numbers[:-1]
    return f"{known.min():g} to {known.max():g}"


def shown(text: str) -> str:
    """A value for a reason, or its beginning."""
    return repr(text if len(text) <= 24 else f"{text[:21]}...")


def why_key(column: Column) -> str | None:
    """Says why a column only numbers the rows; None if it does not."""
    count, rows = len(column.counts), column.rows
    if rows < LEAST_ROWS or count < ALMOST * rows or column.words >= LONG_TEXT:
        return None
    known = column.numbers
    if not column.is_numeric:
        return "a key: hardly a value comes twice" if not separator_of(column) else None
    if not column.is_whole:
        return None
    in_steps = count == rows and np.ptp(known[:-1]) == rows - 1
    if in_steps or names.is_key(column.name) or names.is_user(column.name):
        return "a key: hardly a value comes twice"
    return None


def is_named_by_numbers(column: Column) -> bool:
    """Whether the numbers of a column are names: more or less has no meaning."""
    if len(column.counts) == 2:
        return True
    if not column.is_whole:
        return False
    is_name = names.is_code(column.name) or names.is_user(column.name)
    return is_name or column.has_leading_zeros


def bag_kind(name: str) -> Literal["multi_valued", "sequence"]:
    """Whether lists of this name have an order."""
    return "sequence" if names.hints(name, names.HISTORIES) else "multi_valued"


def separator_of(column: Column) -> str | None:
    """The text between the items of a column's values, if they are lists.

    Items come again in many lists; those that spaces part have digits, or they would be
    the words of a text.
    """
    some = [text for text in column.texts[:MANY] if not re.match(r"[\[{(]", text)]
    if len(some) < min(FEWEST_ITEMS, len(column.counts)) or len(some) < LEAST_ROWS // 5:
        return None
    for separator in SEPARATORS:
        lists = [text.split(separator) for text in some]
        items = Counter(item.strip() for each in lists for item in each)
        longer = sum(len(each) > 1 for each in lists)
        if longer < 0.2 * len(some) or len(items) > 0.5 * sum(items.values()):
            continue
        is_text = separator in ", " and not are_ids(items, separator)
        if not is_text and len(items) < len(some):
            return (
                ", " if separator == "," and ", " in some[0] + some[-1] else separator
            )
    return None


def are_ids(items: Counter[str], separator: str) -> bool:
    """Whether items may be the values of a list, and are not words or digits of one."""
    if separator == " ":
        return all(re.search(r"\d", item) for item in items if item)
    return all(len(item.split()) <= 3 for item in items)


def looks_like_time(column: Column) -> bool:
    """Whether values hold a date such as 5/1/2024 or 01.05.24."""
    date = re.compile(r"\s*\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}\b")
    return len(column.counts) > 2 and all(map(date.match, column.texts[:MANY]))
