"""What the arrays of a batch hold, once a schema is fitted to its data."""

import dataclasses

from ple_jax.schema import Task


@dataclasses.dataclass(frozen=True)
class IdColumn:
    """A fitted column of `Batch.ids`: ids 0 .. rows - 1 of one table."""

    name: str
    table: str  # columns with the same table share its rows
    rows: int
    dim: int | None = None


@dataclasses.dataclass(frozen=True)
class Bag:
    """A fitted entry of `Batch.bags`: up to `length` ids of one table."""

    name: str
    table: str
    rows: int
    length: int
    dim: int | None = None


@dataclasses.dataclass(frozen=True)
class NumberColumn:
    """A fitted column of `Batch.numbers`.

    If `bins` is 0, the model reads the number as it is. Otherwise the number is a
    position p in [0, bins], and the model reads its piecewise-linear encoding

        clip(p - k, 0, 1)   for k = 0 .. bins - 1
    """

    name: str
    bins: int = 0


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the arrays of a batch hold, after fitting."""

    ids: tuple[IdColumn, ...]
    bags: tuple[Bag, ...]
    numbers: tuple[NumberColumn, ...]
    tasks: tuple[Task, ...]
    domains: tuple[str, ...]  # names, in the order of the axis N
