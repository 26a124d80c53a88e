"""The least that a training step takes: its needs, at the rates of the machine."""

import functools
from typing import NamedTuple

from . import needs, problem, rates
from .measure import in_turn, medians
from .sizes import Size

SQUARE, COPIED = 2048, 2**26  # the large product's sides; floats of the copy


class Work(NamedTuple):
    """What one step needs."""

    operations: float
    bytes: float


def work(kind: str, size: Size, by_rows: bool = False) -> Work:
    """Operations, and bytes that move at least.

    An activation and its slope are written and read once. Rows of tables are read, and
    their slopes written and read. What the optimizer moves is read and written with
    Adam's two moments: dense parameters, whose slopes are written and read, and all
    rows, or only those that the batch read.
    """
    options = problem.options_of(kind, size)
    need, read = needs.work(kind, size, options), distinct_rows(size)
    moved = size.width * (read if by_rows else size.fields * size.rows)
    inputs = size.batch * (size.fields + size.numbers + size.tasks)
    tables = 3 * size.width * read + 6 * moved
    floats = inputs + 4 * need.kept + 8 * need.parameters + tables
    operations = needs.operations(kind, size, options, moved)
    return Work(operations, needs.FLOAT * floats)


def distinct_rows(size: Size) -> float:
    """How many rows of all tables a batch of uniform ids is expected to read."""
    missed = (1 - 1 / size.rows) ** size.batch
    return size.fields * size.rows * (1 - missed)


def seconds(work: Work) -> float:
    """The operations at a product's rate, or the bytes at a copy's: the longer."""
    product, copy = fastest()
    return max(work.operations / product, work.bytes / copy)


@functools.cache
def fastest() -> tuple[float, float]:
    """Operations a second of a large product, and bytes a second of a copy."""
    ways = {"product": rates.product(SQUARE, SQUARE, SQUARE)}
    ways |= {"copy": rates.copy(COPIED)}
    taken = medians(in_turn(ways, rounds=5))
    return 2 * SQUARE**3 / taken["product"], 8 * COPIED / taken["copy"]
