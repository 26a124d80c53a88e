"""What the arrays of a split must hold, by their layout: types, widths and ranges.

A device gathers without asking, so the host checks each split once, as it is opened.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ple_jax.data.encode import Encoder
from ple_jax.schema import Task

LARGEST = float(np.finfo(np.float32).max)


class Range(NamedTuple):
    """What a column may hold: least <= x <= most, or only whole numbers of these."""

    column: str
    least: float
    most: float
    words: str
    whole: bool = False


@dataclasses.dataclass(frozen=True)
class Expected:
    """What an array (rows, *shape) must hold.

    Attributes:
        dtype: The type of its values.
        shape: The axes after that of rows: none, or one.
        ranges: One for each column, or one for all; none if any value may be there.
    """

    dtype: type
    shape: tuple[int, ...]
    ranges: tuple[Range, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)

    def check(self, block: np.ndarray, first: int, path: object) -> None:
        """Raises a ValueError that names the first wrong value of some rows (n, ...).

        Args:
            block: The rows.
            first: The number of the first of them.
            path: Where they lie, for the error.
        """
        if not self.ranges:
            return
        # A byte that is neither 0 nor 1 would be true, and no longer count as one.
        plain = block.view(np.uint8) if self.dtype is np.bool_ else block
        values = plain.reshape(-1, len(self.ranges))
        _, least, most, _, whole = map(np.array, zip(*self.ranges, strict=True))
        with np.errstate(invalid="ignore"):  # NaN is wrong, as all comparisons say
            low, high = extremes(values)
            wrong = ~((low >= least) & (high <= most))
            if not wrong.any() and not _fractions(values[:, whole]).any():
                return
            wrong = ~((values >= least) & (values <= most))
            wrong |= whole & _fractions(values)
        place, column = np.argwhere(wrong)[0].tolist()
        row = first + place * len(block) // len(values)
        raise ValueError(
            f"{path} is damaged: column {self.ranges[column].column!r} holds "
            f"{values[place, column]} in row {row + 1:,}, expected "
            f"{self.ranges[column].words}."
        )


def row_bytes(expected: Mapping[str, Expected]) -> int:
    """Bytes of a row of all arrays of a split."""
    return sum(array.row_bytes for array in expected.values())


def _fractions(x: np.ndarray) -> np.ndarray:
    """Whether each number is no whole one."""
    return x != np.rint(x)


def extremes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (columns,) each
    """The least and the greatest value of each column of (rows, columns)."""
    columns = x.shape[1]
    # Up to 64 rows side by side: NumPy is 12 times as fast on them as on 8 columns.
    wide = x.reshape(-1, columns * math.gcd(len(x), 64))
    low, high = wide.min(axis=0), wide.max(axis=0)
    return low.reshape(-1, columns).min(axis=0), high.reshape(-1, columns).max(axis=0)


def expected_arrays(encoder: Encoder) -> dict[str, Expected]:
    """Name -> what it must hold, of every array that an encoder fills."""
    layout = encoder.layout
    ids = [_integers(column.name, 0, column.rows) for column in layout.ids]
    labels = [_label(task) for task in layout.tasks]
    observed = [Range(task.name, 0, 1, "true or false") for task in layout.tasks]
    domain = _integers("domain", 0, len(layout.domains))
    weight = Range("weight", 0, LARGEST, "a finite number of at least 0")
    arrays = {
        "ids": _table(np.int32, ids),
        "numbers": _table(np.float32, [_finite(n.name) for n in layout.numbers]),
        "domain": Expected(np.int32, (), (domain,)),
        "labels": _table(np.float32, labels),
        "observed": _table(np.bool_, observed),
        "weights": Expected(np.float32, (), (weight,)),
    }
    if encoder.schema.user is not None:
        arrays["user"] = Expected(np.int64, (), ())  # any hash
    for bag in layout.bags:
        items = _integers(bag.name, -1, bag.rows)  # -1 pads
        arrays[f"bags/{bag.name}"] = Expected(np.int32, (bag.length,), (items,))
    return arrays


def _table(dtype: type, ranges: list[Range]) -> Expected:
    return Expected(dtype, (len(ranges),), tuple(ranges))


def _integers(column: str, least: int, end: int) -> Range:
    return Range(column, least, end - 1, f"{least} to {end - 1}")


def _finite(column: str) -> Range:
    return Range(column, -LARGEST, LARGEST, "a finite number")


def _label(task: Task) -> Range:
    if task.is_binary:
        return Range(task.name, 0, 1, "0 or 1", whole=True)
    if task.kind.link == "log":
        return Range(task.name, 0, LARGEST, "a finite number of at least 0")
    if task.kind.link == "levels":  # and 0 where a label is missing
        ends = [float(np.float32(task.levels[i])) for i in (0, -1)]
        least, most = min(0.0, ends[0]), max(0.0, ends[1])
        return Range(task.name, least, most, f"{least:g} to {most:g}")
    return _finite(task.name)
