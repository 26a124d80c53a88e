"""Slices of a split: its rows by the values of a column."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ple_jax.analysis.fields import places_of
from ple_jax.checks import listing, nearest
from ple_jax.data.numeric import NumericFit
from ple_jax.data.store import Prepared
from ple_jax.serve.rows import column_of_files

PARTS = 5  # of a column of numbers, with as many rows each
MOST = 20  # values that have a slice of their own
UNKNOWN, RARE, MISSING = "unknown or missing", "rare", "missing"


class Slice(NamedTuple):
    """Some rows of a split."""

    name: str
    rows: np.ndarray  # (n,) ascending


def slices_of(data: Prepared, split: str, column: str) -> list[Slice]:
    """The rows of a split by the values of a column.

    The column is a field, the domain, or any other of the files that the data set was
    prepared from, if they are still there. Numbers of more than 20 values are cut at
    their quantiles into fifths; of other columns the 20 most frequent values have a
    slice each, and the rest share one. A row of a list is in the slice of each item.

    Raises:
        ValueError: There is no such column, or its values are not at hand.
    """
    examples, encoder = data.split(split), data.encoder
    if column in ("domain", data.schema.domain):
        return by_value(examples.domain, data.layout.domains)
    kinds = {field.name: field for field in data.schema.fields}
    if field := kinds.get(column):
        at = places_of(encoder)[column]
        if field.kind == "numeric":
            fit = encoder.numerics[column]
            of = examples.numbers[:, at.numbers], examples.ids[:, at.ids]
            if (numbers := decoded(fit, *of)) is not None:
                return by_number(numbers)
        elif at.ids:
            return by_value(examples.ids[:, at.ids[0]], _names(data, column))
        elif at.bags:
            return by_item(examples.bags[column], _names(data, column))
    return _of_files(data, split, column)


def _names(data: Prepared, field: str) -> list[str]:
    """What each id of a field means."""
    (table,) = (f.table or f.name for f in data.schema.fields if f.name == field)
    known = data.encoder.vocabularies[table]["value"].to_pylist()
    return [UNKNOWN, *(RARE if value is None else value for value in known)]


def _of_files(data: Prepared, split: str, column: str) -> list[Slice]:
    try:
        codes, values = column_of_files(data, split, column)
    except ValueError as error:
        known = ["domain", *(field.name for field in data.schema.fields)]
        raise ValueError(
            f"No slices by {column!r}: {error}{nearest(column, known)} Fields: "
            f"{listing(known, most=10)}."
        ) from error
    numbers = _as_numbers(values)
    if numbers is not None and len(values) > MOST:
        return by_number(numbers[codes])
    return by_value(codes, [MISSING if v is None else v for v in values])


def _as_numbers(values: Sequence[str | None]) -> np.ndarray | None:
    """The numbers that texts spell, NaN for None; None if one spells no number."""
    try:
        return np.array([np.nan if v is None else float(v) for v in values])
    except ValueError:
        return None


def by_value(codes: np.ndarray, names: Sequence[str]) -> list[Slice]:
    """A slice for each code (B,) that occurs, most frequent first."""
    order = np.argsort(codes, kind="stable")
    used, starts = np.unique(codes[order], return_index=True)
    parts = np.split(order, starts[1:])
    return _largest(
        [Slice(names[c], rows) for c, rows in zip(used, parts, strict=True)]
    )


def by_item(bag: np.ndarray, names: Sequence[str]) -> list[Slice]:
    """A slice for each item of lists (B, L), which are padded with -1."""
    pairs = np.unique(
        np.stack([bag, np.arange(len(bag))[:, None] + 0 * bag], -1)[bag >= 0], axis=0
    )
    used, starts = np.unique(pairs[:, 0], return_index=True)
    parts = np.split(pairs[:, 1], starts[1:])
    found = [Slice(names[c], rows) for c, rows in zip(used, parts, strict=True)]
    empty = np.flatnonzero((bag < 0).all(axis=1))
    return _largest([*found, *[Slice(MISSING, empty)] * bool(len(empty))])


def _largest(slices: list[Slice]) -> list[Slice]:
    """The slices of most rows, and one of all others."""
    ranked = sorted(slices, key=lambda one: -len(one.rows))
    if len(ranked) <= MOST:
        return ranked
    rest = ranked[MOST:]
    rows = np.unique(np.concatenate([one.rows for one in rest]))
    return [*ranked[:MOST], Slice(f"{len(rest):,} others", rows)]


def by_number(numbers: np.ndarray, parts: int = PARTS) -> list[Slice]:
    """Slices of about equal size, in rising order; those without a number are last.

    Equal numbers share a slice, which is named by its least and its largest.
    """
    known = np.flatnonzero(~np.isnan(numbers))
    x, missing = numbers[known], np.flatnonzero(np.isnan(numbers))
    found, place = [], x
    if len(x):
        inner = np.quantile(x, np.arange(1, parts) / parts, method="inverted_cdf")
        place = np.searchsorted(np.unique(inner), x)
    for part in np.unique(place):
        own = place == part
        found.append(Slice(_range(x[own]), known[own]))
    return [*found, *[Slice(MISSING, missing)] * bool(len(missing))]


def _range(x: np.ndarray) -> str:
    low, high = (f"{end:.6g}" for end in (x.min(), x.max()))
    return low if low == high else f"{low} to {high}"


def decoded(
    fit: NumericFit,
    numbers: np.ndarray,  # (B, columns) of the field
    ids: np.ndarray,  # (B, 1) its buckets, or (B, 0)
) -> np.ndarray | None:  # (B,) NaN where its bucket says that it is missing
    """The numbers of a field from what they were encoded as, to float32.

    None of a field that has nothing but buckets.
    """
    if not numbers.shape[1]:
        return None
    first = np.asarray(numbers[:, 0], np.float64)
    if not fit.moments:
        x = np.interp(first, np.arange(len(fit.knots)), fit.knots)
    else:
        encoding, (mean, spread) = next(iter(fit.moments.items()))
        x = mean + spread * first
        x = np.sign(x) * np.expm1(np.abs(x)) if encoding == "log" else x
    return np.where(ids[:, 0] == 0, np.nan, x) if ids.shape[1] else x
