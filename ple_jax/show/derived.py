"""Derived columns and their values in words: what a number or a hash stands for."""

import calendar
import json
from collections.abc import Callable, Sequence

from ple_jax.derived import Derived, bucket_names

SECONDS = {"day": 86_400, "hour": 3600, "minute": 60, "second": 1}


def definition(column: Derived) -> str:
    """What a derived column is.

    Example:
        >>> definition(Derived("x", "ratio", ("price", "list_price")))
        'price / list_price'
    """
    told = _DEFINITIONS[column.kind](column)
    return f"{told}, in {len(column.edges) + 1} buckets" if column.edges else told


def meaning(value: str, column: Derived, columns: Sequence[Derived] = ()) -> str:
    """What a value of a derived column stands for, as far as it can be told.

    Args:
        value: The value, as a vocabulary has it.
        column: The column.
        columns: All derived columns of the schema; a cross may be computed from some.

    Example:
        >>> meaning("17", Derived("x", "hour", ("time",)))
        '17:00-17:59'
        >>> meaning('["s1", "ann"]', Derived("x", "cross", ("shop", "user")))
        'shop = s1, user = ann'
    """
    if column.edges and column.kind == "age":
        at = bucket_names(column.edges).index(value)
        return bucket_names(column.edges, duration)[at]
    if column.kind == "cross" and column.values is None:
        return _combination(value, column, columns)
    if column.kind in _HASHED:
        return f"{_HASHED[column.kind]} of {' x '.join(column.of)} with hash {value}"
    known = _MEANINGS.get(column.kind)
    return known(value) if known else value


def duration(seconds: float) -> str:
    """A number of seconds in the largest unit that it is a multiple of.

    Example:
        >>> duration(7200), duration(86_400), duration(0.5)
        ('2 hours', '1 day', '0.5 seconds')
    """
    unit = next(
        (u for u, n in SECONDS.items() if seconds and not seconds % n), "second"
    )
    count = seconds / SECONDS[unit]
    return f"{count:g} {unit}{'' if abs(count) == 1 else 's'}"


def _combination(value: str, column: Derived, columns: Sequence[Derived]) -> str:
    known = {other.name: other for other in columns}
    parts = zip(column.of, json.loads(value), strict=True)
    return ", ".join(
        f"{name} = {meaning(part, known[name], columns) if name in known else part}"
        for name, part in parts
    )


def _of_hash(column: Derived, told: str) -> str:
    hashed = column.values is not None
    return f"{told}, hashed to {column.values:,} values" if hashed else told


def _clock(column: Derived) -> str:
    zone = "" if column.zone == "UTC" else f" in {column.zone}"
    return f"{column.kind} of {column.of[0]}{zone}"


def _grams(column: Derived) -> str:
    words = [f"{n}-grams of words" if n > 1 else "words" for n in column.words]
    words += [f"{n}-grams of characters" for n in column.characters]
    return f"{' and '.join(words)} of {column.of[0]}"


_DEFINITIONS: dict[str, Callable[[Derived], str]] = {
    **dict.fromkeys(("hour", "weekday", "day", "month"), _clock),
    "age": lambda c: f"seconds from {c.of[1]} to {c.of[0]}",
    "difference": lambda c: f"{c.of[0]} - {c.of[1]}",
    "ratio": lambda c: f"{c.of[0]} / {c.of[1]}",
    "length": lambda c: f"number of items of {c.of[0]}",
    "hash": lambda c: _of_hash(c, c.of[0]),
    "cross": lambda c: _of_hash(c, f"each combination of {', '.join(c.of)}"),
    "text": lambda c: _of_hash(c, _grams(c)),
    "constant": lambda c: f"{c.value!r} in every row",
}
_HASHED = {"hash": "a value", "cross": "a combination", "text": "an n-gram"}
_MEANINGS: dict[str, Callable[[str], str]] = {
    "hour": lambda hour: f"{int(hour):02}:00-{int(hour):02}:59",
    "weekday": lambda day: calendar.day_name[int(day) - 1],
    "day": lambda day: f"day {day} of the month",
    "month": lambda month: calendar.month_name[int(month)],
}
