"""Assigns rows to splits, in a way that does not depend on the chunks."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from ple_jax.checks import nearest
from ple_jax.data.rows import Rows
from ple_jax.data.source import Source
from ple_jax.schema import SPLITS, Split

# (rows, number of the first) -> each row's split, as its number in SPLITS (B,)
Assign = Callable[[Rows, int], np.ndarray]


def assigner(source: Source) -> Assign:
    """The function that assigns rows; a split by time reads all times beforehand."""
    split, column = source.schema.split, source.schema.split.column
    if column is None:
        return lambda rows, first: _random_splits(len(rows), first, split)
    if split.by == "column":
        return lambda rows, first: _column_splits(rows, column, split)
    cuts = _time_cuts(source, column)
    return lambda rows, first: np.searchsorted(cuts, rows.times(column).values, "right")


def split_names(values: np.ndarray, starts: Sequence[int]) -> pa.Array:  # (B,) strings
    """The name of each row's split, for the first values of validation and of test."""
    return pa.array(np.array(SPLITS)[np.searchsorted(starts, values, "right")])


def _random_splits(count: int, first: int, split: Split) -> np.ndarray:
    """Splits rows by a hash of row number and seed, taken as a number in [0, 1)."""
    number = np.arange(first, first + count, dtype=np.uint64)
    uniform = mix(number, split.seed).astype(np.float64) / 2.0**64
    return np.searchsorted(np.cumsum(split.fractions[:2]), uniform, "right")


def mix(x: np.ndarray, key: int) -> np.ndarray:  # uint64 -> uint64
    """Mixes 64-bit integers by a bijection (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(key % 2**64) * np.uint64(0x9E3779B97F4A7C15)
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _column_splits(rows: Rows, column: str, split: Split) -> np.ndarray:
    codes, values = rows.text(column)
    number = {v: i for i, s in enumerate(SPLITS) for v in getattr(split, s)}
    mapped = np.array([number.get(v, -1) for v in values.to_pylist()])
    assigned = mapped[codes]
    if (assigned < 0).any():
        row = (assigned < 0).argmax()
        hint = nearest(str(values[int(codes[row])].as_py()), number)
        wanted = f"a split ({', '.join(map(repr, number))};{hint})"
        raise rows.error(column, row, wanted)
    return assigned


def _time_cuts(source: Source, column: str) -> np.ndarray:  # (2,)
    """The first time of validation and of test. Equal times stay in one split.

    Raises:
        ValueError: Files hold different kinds of times, which have no common order.
    """
    form, split = source.schema.format, source.schema.split
    parts: list[np.ndarray] = []
    kinds: dict[str, str] = {}  # kind -> the first origin that has it
    for chunk in source.chunks():
        kind, values = Rows(chunk, form).times(column)
        kinds.setdefault(kind, chunk.origin)
        if len(kinds) > 1:
            (kind, one), (other, another) = kinds.items()
            raise ValueError(
                f"Column {column!r} holds {kind} in {one}, but {other} in {another}: "
                "expected one kind of time everywhere."
            )
        parts.append(values)
    times = np.sort(np.concatenate(parts))
    at = (np.cumsum(split.fractions[:2]) * len(times)).astype(np.int64)
    return times[np.minimum(at, len(times) - 1)]
