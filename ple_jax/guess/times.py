"""Which column holds the time of a row, by which it can be split."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ple_jax.data.times import choose_reader
from ple_jax.guess import names
from ple_jax.guess.columns import MANY, Column
from ple_jax.splits import Split

# Seconds, milliseconds and so on since 1970, from 1990 to 2100; and dates as digits.
EPOCHS = [(631e6 * unit, 4.1e9 * unit) for unit in (1, 1e3, 1e6, 1e9)]
DIGITS = [
    (19_000_101, 21_001_231),
    (10_010_100, 99_123_123),
    (1_900_010_100, 2_100_123_123),
]
LEAST_VALUES = 10
LEAST_SHARE = 0.02  # of rows in each split


def moments(column: Column) -> np.ndarray | None:  # (B,), NaN where missing
    """The time of each row as a number; None if the column seems to hold no times."""
    if column.is_list or len(column.counts) < LEAST_VALUES:
        return None
    try:
        found = times_of(column)
    except ValueError:
        return None
    if column.is_numeric and not may_be_times(column.name, column.numbers[:-1]):
        return None
    return found


def times_of(column: Column) -> np.ndarray:  # (B,), NaN where missing
    """The time of each row as a number.

    Raises:
        ValueError: The column holds neither numbers nor times.
    """
    kind, convert = choose_reader(column.values[:-1])
    try:
        return np.r_[convert(column.values[:-1]), np.nan][column.codes]
    except pa.ArrowException:
        raise ValueError(
            f"Column {column.name!r} holds no times: expected {kind}, got "
            f"{column.texts[0]!r}."
        ) from None


def may_be_times(name: str, values: np.ndarray) -> bool:
    """Whether numbers of this name are times: epochs, or dates as digits."""
    low, high = values.min(), values.max()
    within = any(a <= low and high <= b for a, b in EPOCHS + DIGITS)
    return within and names.hints(name, names.TIMES) and bool((values % 1 == 0).all())


class Clock(NamedTuple):
    """What a clock reads of a column of times, and how these are written."""

    parts: tuple[str, ...]
    options: dict[str, str]


def clock_of(column: Column) -> Clock:
    """The parts of times that differ, such as hours; none of digits of hours."""
    if not column.is_numeric:
        has_clock = any(":" in text for text in column.texts[:MANY])
        return Clock(("hour", "weekday") if has_clock else ("weekday",), {})
    low, high = column.numbers[:-1].min(), column.numbers[:-1].max()
    units = zip(("s", "ms", "us", "ns"), EPOCHS, strict=True)
    unit = next((u for u, (a, b) in units if a <= low and high <= b), None)
    if unit:
        return Clock(("hour", "weekday"), {"unit": unit})
    a, b = DIGITS[0]
    days = a <= low and high <= b
    return Clock(("weekday",), {"unit": "yyyymmdd"}) if days else Clock((), {})


def best_time(columns: Iterable[Column]) -> str | None:
    """The column that orders rows best: by its name, and then by how fine it is."""
    found = [column for column in columns if column.missing == 0]
    early = lambda c: not names.hints(c.name, names.AFTERWARDS)
    rank = lambda c: (early(c), names.hints(c.name, names.MOMENTS), len(c.counts))
    return max(found, key=rank).name if found else None


def why_late(name: str) -> str | None:
    """Says why a time of this name may be set after the outcome; None if it is not."""
    word = next((w for w in names.words(name) if w in names.AFTERWARDS), None)
    return word and (
        f"its name says {word!r}, so perhaps it is set after the outcome; if it is "
        f"not, --time {name}"
    )


def why_not_split(times: np.ndarray, labels: Mapping[str, np.ndarray]) -> str | None:
    """Says why rows cannot be split by these times; None if they can."""
    if np.isnan(times).any():
        return "some times are missing"
    shares = np.cumsum(Split().fractions[:2])
    cuts = np.sort(times)[(shares * len(times)).astype(int)]
    part = np.searchsorted(cuts, times, "right")
    if np.bincount(part, minlength=3).min() < LEAST_SHARE * len(times):
        return "too few different times"
    for name, y in labels.items():
        for number, split in enumerate(("train", "validation", "test")):
            known = y[(part == number) & np.isfinite(y)]
            if len(np.unique(known)) < 2:
                return f"{name!r} would be the same in all of {split}"
    return None
