"""Gates that see experts alike, so that their mixtures are a few large operations."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

Experts = tuple[int, ...]


class Block(NamedTuple):
    """Neighbouring experts that each gate of a pattern sees.

    Attributes:
        column: Of its first expert, among those that a gate sees.
        first: The first expert; of the first gate, if each has its own.
        each: Experts that one gate sees.
        own: Whether gate i sees the i-th `each` experts, or all gates see the same.
    """

    column: int
    first: int
    each: int
    own: bool

    def stop(self, gates: int) -> int:
        """The number after the last expert that `gates` gates see."""
        return self.first + self.each * (gates if self.own else 1)


class Pattern(NamedTuple):
    """Neighbouring gates that see equally many experts, in the same blocks.

    Attributes:
        first: The first gate.
        gates: Number of gates.
        blocks: Where their experts lie.
    """

    first: int
    gates: int
    blocks: tuple[Block, ...]

    @property
    def each(self) -> int:
        """Experts that one gate sees."""
        return sum(block.each for block in self.blocks)

    @property
    def pairs(self) -> int:
        """Pairs of gate and expert that need a weight: one expert alone needs none."""
        return self.gates * self.each if self.each > 1 else 0


def numbers(patterns: Sequence[Pattern], experts: int) -> np.ndarray:  # (G, E) int
    """The number of each pair, gate by gate; for pairs that do not see each other, -1.

    Example:
        >>> numbers(list(patterns_of([(0, 2), (1, 2)])), experts=3)
        array([[ 0, -1,  1],
               [-1,  2,  3]])
    """
    found = np.full((sum(pattern.gates for pattern in patterns), experts), -1)
    count = itertools.count()
    for pattern in patterns:
        for gate, block in itertools.product(range(pattern.gates), pattern.blocks):
            first = block.first + block.each * gate * block.own
            for expert in range(first, first + block.each):
                found[pattern.first + gate, expert] = next(count)
    return found


def patterns_of(visible: Sequence[Experts]) -> Iterator[Pattern]:
    """Cuts the gates, in order, into as few patterns as their neighbours allow.

    Example:
        >>> for pattern in patterns_of([(0, 1, 4), (2, 3, 4), (0, 1, 2, 3, 4)]):
        ...     print(pattern.gates, [(b.first, b.each, b.own) for b in pattern.blocks])
        2 [(0, 2, True), (4, 1, False)]
        1 [(0, 5, False)]
    """
    first = 0
    while first < len(visible):
        gates, blocks = _longest(visible[first:])
        yield Pattern(first, gates, blocks)
        first += gates


def _longest(visible: Sequence[Experts]) -> tuple[int, tuple[Block, ...]]:
    """The number of gates that see experts as the first does, and the blocks."""
    start, *others = visible
    if not others or len(others[0]) != len(start):
        return 1, _blocks(start, (0,) * len(start))
    steps = tuple(b - a for a, b in zip(start, others[0], strict=True))
    blocks = _blocks(start, steps)
    if any(block.own and step != block.each for block, step in _with(steps, blocks)):
        return 1, _blocks(start, (0,) * len(start))
    follows = lambda i: tuple(a + i * s for a, s in zip(start, steps, strict=True))
    alike = itertools.takewhile(lambda i: visible[i] == follows(i), range(len(visible)))
    return len(list(alike)), blocks


def _blocks(start: Experts, steps: Experts) -> tuple[Block, ...]:
    """Cuts columns where experts are no neighbours, or move on by another step."""
    key = lambda column: (start[column] - column, steps[column])
    groups = itertools.groupby(range(len(start)), key)
    runs = [(list(columns), step != 0) for (_, step), columns in groups]
    return tuple(Block(run[0], start[run[0]], len(run), own) for run, own in runs)


def _with(steps: Experts, blocks: Sequence[Block]) -> Iterator[tuple[Block, int]]:
    return ((block, steps[block.column]) for block in blocks)
