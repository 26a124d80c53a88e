"""Parts of times, as a clock or a calendar shows them, and ages."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.rows import Rows
from ple_jax.data.times import NAIVE, NUMBER, Times
from ple_jax.derived import Derived

MICROSECONDS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
FIRST, LAST = -62_135_596_800e6, 253_402_300_799e6  # of the years 1 and 9999
PARTS = {
    "hour": pc.hour,
    "weekday": partial(pc.day_of_week, count_from_zero=False, week_start=1),
    "day": pc.day,
    "month": pc.month,
}


def read_part(rows: Rows, column: Derived) -> pa.Array:  # (B,) int64
    """The hour, weekday (1 is Monday), day of the month or month of a time.

    Raises:
        ValueError: A value is no time.
    """
    kind, moments = read_moments(rows, column.of[0], column.unit)
    there = ~np.isnan(moments)
    whole = np.floor(np.where(there, moments, 0)).astype(np.int64)
    zone = None if kind == NAIVE else column.zone
    stamps = pa.array(whole, mask=~there).cast(pa.timestamp("us", zone))
    return PARTS[column.kind](stamps)


def read_age(rows: Rows, column: Derived) -> np.ndarray:  # (B,) float64, NaN: missing
    """The seconds from the second time to the first.

    Raises:
        ValueError: A value is no time, or one time has a zone and the other has none.
    """
    at, since = (read_moments(rows, name, column.unit) for name in column.of)
    apart = (at.kind == NAIVE) != (since.kind == NAIVE)
    both = ~np.isnan(at.values) & ~np.isnan(since.values)
    if apart and both.any():
        raise ValueError(
            f"{rows.origin}: column {column.of[0]!r} holds {at.kind}, but "
            f"{column.of[1]!r} {since.kind}: expected one kind of time."
        )
    return (at.values - since.values) / 1e6


def read_moments(rows: Rows, name: str, unit: str) -> Times:
    """Microseconds since 1970, NaN where missing; plain numbers are in this unit.

    Raises:
        ValueError: A value is no time, or not one from the year 1 to 9999.
    """
    kind, values = rows.times(name, missing=True)
    if kind != NUMBER:
        return Times(kind, values)
    there, dates = ~np.isnan(values), read_dates(values)
    if unit == "yyyymmdd":
        if (bad := there & np.isnan(dates)).any():
            raise rows.error(name, bad.argmax(), "the digits of a date, yyyymmdd")
        return Times(NAIVE, dates)
    moments = values * MICROSECONDS[unit]
    bad = there & ~((moments >= FIRST) & (moments <= LAST))
    if unit == "s" and there.any() and not np.isnan(dates[there]).any():
        bad = there  # no log is of one August of 1970 alone
    if bad.any():
        wanted = f"a time in {unit} since 1970 (or set `unit`: s, ms, us, ns, yyyymmdd)"
        raise rows.error(name, bad.argmax(), wanted)
    return Times(kind, moments)


def read_dates(digits: np.ndarray) -> np.ndarray:  # (B,) microseconds since 1970
    """Reads numbers such as 20240501 as dates; NaN where one is none."""
    whole = np.clip(np.nan_to_num(digits), 0, 99_999_999).astype(np.int64)
    year, month, day = whole // 10_000, whole // 100 % 100, whole % 100
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (day - 1)
    fits = (year >= 1000) & (month >= 1) & (month <= 12) & (whole == digits)
    fits &= (day >= 1) & (dates.astype("datetime64[M]") == months)
    return np.where(fits, dates.astype("datetime64[us]").astype(np.float64), np.nan)
