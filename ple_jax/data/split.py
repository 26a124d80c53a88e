"""Assigns rows to splits, in a way that does not depend on the chunks."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from ple_jax.checks import nearest
from ple_jax.data.arrow import is_missing, plain_spelling
from ple_jax.data.derive import rows_of
from ple_jax.data.hashing import hash_texts, mix
from ple_jax.data.labels import read_labels
from ple_jax.data.rows import Rows
from ple_jax.data.shards import Over, Shard, over_whole
from ple_jax.data.source import Source
from ple_jax.schema import Schema
from ple_jax.splits import SPLITS, Split

# (rows, number of the first) -> each row's split, as its number in SPLITS (B,), and its
# fold, which matters in train alone (B,)
Assign = Callable[[Rows, int], tuple[np.ndarray, np.ndarray]]
Splits = Callable[[Rows, int], np.ndarray]  # the first of these alone

FOLDS = 5  # of train, where rows are in no order
BLOCKS = 16  # of train, in the order of time
FOLD_KEY = 0x466F6C64  # sets the hash for folds apart from that for splits
NEVER = np.uint64(2**64 - 1)  # a place that no row has, but one in 2^64


def assigner(source: Source, over: Over | None = None) -> Assign:
    """The function that assigns rows; it can be sent to another process.

    A split by time reads all times beforehand, one by strata all labels or domains, and
    one by last rows all groups and times: memory holds 8 to 32 bytes a row meanwhile.

    Args:
        source: What the rows mean, and how to read them.
        over: Where all rows are read; by default here, one after another.
    """
    schema, over = source.schema, over or over_whole(source)
    split, column = schema.split, schema.split.column
    if split.by == "time":
        assert column
        return partial(_by_time, column, _time_cuts(over, schema))
    if split.by == "last":
        splits: Splits = partial(_last, _last_numbers(over, schema))
    elif split.by == "column":
        assert column
        splits = partial(_column_splits, column, split)
    elif split.strata:
        splits = partial(_stratified, schema, *_strata_cuts(over, schema))
    else:
        splits = partial(_random, split)
    return partial(_with_folds, splits, split)


def _with_folds(
    splits: Splits, split: Split, rows: Rows, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """The splits of rows, and folds by a hash."""
    return splits(rows, first), folds_of(_units(rows, first, split), split.seed)


def _units(rows: Rows, first: int, split: Split) -> np.ndarray:  # (B,) uint64
    """What stays together: the hash of a row's group, or without one its number."""
    number = np.arange(first, first + len(rows), dtype=np.uint64)
    if split.group is None or split.by == "last":
        return number
    return _groups(rows, number, split.group)


def _groups(rows: Rows, number: np.ndarray, column: str) -> np.ndarray:  # (B,) uint64
    """The hash of each row's group; without one that of its number."""
    codes, values = rows.text(column)
    hashes = hash_texts(plain_spelling(values))
    return np.where(is_missing(values)[codes], number, hashes[codes])


def folds_of(units: np.ndarray, seed: int) -> np.ndarray:  # (B,) int64
    """Folds by a hash of units (B,) and seed, other than that of the split."""
    return (mix(units, seed + FOLD_KEY) % FOLDS).astype(np.int64)


def _by_time(
    column: str, cuts: np.ndarray, rows: Rows, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """The splits and folds of rows by their times."""
    at = np.searchsorted(cuts, rows.times(column).values, "right")
    return np.maximum(at - (BLOCKS - 1), 0), np.minimum(at, BLOCKS - 1)


def split_names(
    values: np.ndarray, starts: Sequence[float]
) -> pa.Array:  # (B,) strings
    """The name of each row's split, for the first values of validation and of test."""
    return pa.array(np.array(SPLITS)[np.searchsorted(starts, values, "right")])


def _random(split: Split, rows: Rows, first: int) -> np.ndarray:
    """Splits by a hash of unit and seed, taken as a number in [0, 1)."""
    starts = np.cumsum(split.fractions[:2])
    if not split.has_test:
        starts[1] = np.inf  # the sum may be below 1, and a number be rounded up to 1
    hashes = mix(_units(rows, first, split), split.seed)
    return np.searchsorted(starts, hashes.astype(np.float64) / 2.0**64, "right")


def _stratified(
    schema: Schema, known: np.ndarray, cuts: np.ndarray, rows: Rows, first: int
) -> np.ndarray:
    """Splits each stratum by its own cuts of the hash of row number and seed."""
    place = mix(_units(rows, first, schema.split), schema.split.seed)
    own = cuts[np.searchsorted(known, _strata(rows, schema))]
    return (place[:, None] >= own).sum(axis=1)


def _strata(rows: Rows, schema: Schema) -> np.ndarray:  # (B,) uint64
    """A hash of each row's stratum: of its labels (or none) and its domain."""
    labels, observed = read_labels(rows, schema)
    numbers = np.where(observed, labels + 1, 0).astype(np.uint64)
    tasks = [task.name for task in schema.tasks]
    key = np.zeros(len(rows), np.uint64)
    for name in schema.split.strata:
        if name in tasks:
            own = numbers[:, tasks.index(name)]
        else:
            codes, values = rows.text(name)
            own = hash_texts(values)[codes]
        key = mix(key + own, 1)
    return key


def _strata_cuts(over: Over, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """All strata (S,), ascending, and the first places (S, 2) of validation and test.

    A stratum's rows are ordered by a hash of their numbers, their places. Its n rows
    have the shares round(n f), so that they are off by less than one row.
    """
    parts = over(partial(_strata_and_places, schema))
    stratum, place = np.concatenate(list(parts), axis=1)
    order = np.lexsort((place, stratum))
    known, starts, sizes = np.unique(
        stratum[order], return_index=True, return_counts=True
    )
    within = np.rint(np.outer(sizes, np.cumsum(schema.split.fractions[:2])))
    at = starts[:, None] + within.astype(np.int64)
    at[within >= sizes[:, None]] = len(place)
    return known, np.r_[place[order], NEVER][at]


def _strata_and_places(schema: Schema, shard: Shard) -> np.ndarray:  # (2, rows) uint64
    names = [name for name in (schema.domain, schema.split.group) if name]
    parts, first = [np.zeros((2, 0), np.uint64)], shard.first
    for chunk in shard.chunks():
        rows = rows_of(chunk, schema, names)
        places = mix(_units(rows, first, schema.split), schema.split.seed)
        parts.append(np.stack([_strata(rows, schema), places]))
        first += len(rows)
    return np.concatenate(parts, axis=1)


def _column_splits(column: str, split: Split, rows: Rows, first: int) -> np.ndarray:
    """Splits by the names in a column."""
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


def _time_cuts(over: Over, schema: Schema) -> np.ndarray:  # (BLOCKS + 1,)
    """The first time of each block of train but the first, of validation, and of test.

    Equal times stay together.
    """
    split = schema.split
    times = np.sort(_times(over, schema))
    blocks = np.arange(1, BLOCKS) / BLOCKS * split.fractions[0]
    shares = np.r_[blocks, np.cumsum(split.fractions[:2])]
    at = (shares * len(times)).astype(np.int64)
    cuts = times[np.minimum(at, len(times) - 1)]
    return cuts if split.has_test else np.r_[cuts[:-1], np.inf]


def _times(over: Over, schema: Schema) -> np.ndarray:  # (rows,) float64
    """All times, in the order of the rows.

    Raises:
        ValueError: Files hold different kinds of times, which have no common order.
    """
    kinds, parts = zip(*over(partial(_times_of, schema)), strict=True)
    _one_kind(schema.split.column, [pair for part in kinds for pair in part.items()])
    return np.concatenate(parts)


def _times_of(schema: Schema, shard: Shard) -> tuple[dict[str, str], np.ndarray]:
    """Kinds of times with the first origin of each, and the times of a shard (n,)."""
    column, kinds = schema.split.column, dict[str, str]()
    parts = [np.zeros(0)]
    assert column
    for chunk in shard.chunks():
        kind, values = rows_of(chunk, schema, [column]).times(column)
        kinds.setdefault(kind, chunk.origin)
        _one_kind(column, list(kinds.items()))
        parts.append(values)
    return kinds, np.concatenate(parts)


def _one_kind(column: str | None, found: Sequence[tuple[str, str]]) -> None:
    """Raises a ValueError if there are several kinds of times, in these origins."""
    for other, another in found[1:]:
        kind, one = found[0]
        if other != kind:
            raise ValueError(
                f"Column {column!r} holds {kind} in {one}, but {other} in {another}: "
                "expected one kind of time everywhere."
            )


def _last(number: np.ndarray, rows: Rows, first: int) -> np.ndarray:
    """Splits by the number of each row's split (rows of the source,)."""
    return number[first : first + len(rows)].astype(np.int64)


def _last_numbers(over: Over, schema: Schema) -> np.ndarray:  # (rows,) int8
    """Splits off the last rows of each group; the same of equal times is a later row.

    test         the last k rows of a group
    validation   the k before them, or the last k if no test is wanted
    train        the others, and groups of which none would be left
    """
    split = schema.split
    group = np.concatenate(list(over(partial(_groups_of, schema))))
    times = _times(over, schema) if split.column else np.arange(len(group))
    order = np.lexsort((times, group))  # rows of equal times keep their order
    _, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
    ends = np.repeat(starts + sizes, sizes)
    after = ends - np.arange(len(group)) - 1  # how many rows of the group come later
    held = split.last * (1 + split.has_test)
    kept = (after >= held) | (np.repeat(sizes, sizes) <= held)
    number = np.empty(len(group), np.int8)
    number[order] = np.where(kept, 0, 1 + split.has_test - after // split.last)
    return number


def _groups_of(schema: Schema, shard: Shard) -> np.ndarray:  # (rows,) uint64
    """The group of each row of a shard."""
    column, first = schema.split.group, shard.first
    assert column
    parts = [np.zeros(0, np.uint64)]
    for chunk in shard.chunks():
        rows = rows_of(chunk, schema, [column])
        number = np.arange(first, first + len(rows), dtype=np.uint64)
        parts.append(_groups(rows, number, column))
        first += len(rows)
    return np.concatenate(parts)
