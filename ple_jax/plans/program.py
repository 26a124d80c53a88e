"""What a compiled program costs: operations and bytes, loops included, and memory.

XLA's own `cost_analysis` counts a loop's body once, however often it runs. This counts
it as often as the program says, or else as often as the caller does. Otherwise it
counts like XLA: two operations a multiplication and addition of a product, one an
element of any other arithmetic, comparison or choice, in a fusion too, however often
the fusion computes it; none for exponentials, logarithms and roots, nor for what only
moves data. A product is a `dot` in the text, whichever library runs it.
"""

import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax

COMPUTATION = re.compile(r"^(?:ENTRY )?%([\w.-]+) \(.*?\{\n(.*?)^\}", re.M | re.S)
INSTRUCTION = re.compile(
    r"^ +(ROOT )?%([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\(([^)]*)\)(.*)$", re.M
)
SHAPE = re.compile(r"([a-z]+)(\d*)\w*\[([\d,]*)\]")
Lines = Mapping[str, "Instruction"]  # of a computation, by name
FREE = frozenset(
    "bitcast bitcast-convert broadcast concatenate constant copy copy-done copy-start "
    "custom-call dynamic-slice dynamic-update-slice exponential "
    "exponential-minus-one gather get-tuple-element iota log log-plus-one logistic "
    "pad parameter partition-id power replica-id reshape reverse "
    "rng-bit-generator rsqrt slice sqrt tanh transpose tuple".split()
)


class Instruction(NamedTuple):
    """One line of a program's text."""

    name: str
    shape: tuple[int, ...]  # of the result, or of the first of several
    size: int  # bytes of the result, or of all of them
    kind: str
    operands: tuple[str, ...]
    rest: str  # attributes
    is_root: bool

    def called(self, role: str) -> str:
        """The computation that it calls as `role`."""
        return self.attribute(rf"\b{role}=%([\w.-]+)")

    def attribute(self, pattern: str) -> str:
        """What a pattern finds in its attributes."""
        found = re.search(pattern, self.rest)
        if found is None:
            raise ValueError(f"{self.kind} {self.name} has no {pattern}.")
        return found[1]


class Memory(NamedTuple):
    """Bytes of a compiled program."""

    temporary: int  # held while it runs, beside arguments and results
    donated: int  # results that lie where arguments did
    arguments: int
    results: int


def memory(compiled: jax.stages.Compiled) -> Memory:
    """The compiler's plan of memory, which holds before anything runs."""
    plan: Any = compiled.memory_analysis()
    return Memory(
        plan.temp_size_in_bytes,
        plan.alias_size_in_bytes,
        plan.argument_size_in_bytes,
        plan.output_size_in_bytes,
    )


class Program:
    """The computations of a compiled program, read from `compiled.as_text()`."""

    def __init__(self, text: str):
        self.bodies = {name: lines_of(body) for name, body in COMPUTATION.findall(text)}
        found = re.search(r"^ENTRY %([\w.-]+)", text, re.M)
        self.entry = found[1] if found else ""

    def total(
        self,
        cost: Callable[[Instruction, Lines], float],
        trips: Callable[[int], int] = lambda depth: 1,
        fused: bool = False,
    ) -> float:
        """Sums a cost over all lines, each as often as it runs.

        Of branches the dearest counts.

        Args:
            cost: Of a line that calls nothing, given the lines beside it.
            trips: How often a loop runs whose count the program computes itself, by
                the number of loops around it.
            fused: Whether `cost` is asked of a fusion whole, or of the lines in it.
        """

        @cache
        def of_computation(name: str, depth: int) -> float:
            lines = self.bodies[name]
            return sum(of_line(line, lines, depth) for line in lines.values())

        def of_line(line: Instruction, lines: Lines, depth: int) -> float:
            if line.kind == "while":
                count = known_trips(line.rest) or trips(depth)
                return count * of_computation(line.called("body"), depth + 1)
            if line.kind == "fusion" and not fused:
                return of_computation(line.called("calls"), depth)
            if line.kind == "call":
                return of_computation(line.called("to_apply"), depth)
            if line.kind == "conditional":
                names = re.findall(r"%([\w.-]+)", line.rest.partition("metadata")[0])
                return max(of_computation(name, depth) for name in names)
            return cost(line, lines)

        return of_computation(self.entry, 0)


def operations(text: str, trips: Callable[[int], int] = lambda depth: 1) -> float:
    """Counts the operations of a compiled program from its text.

    Args:
        text: `compiled.as_text()`.
        trips: As of `Program.total`.
    """
    return Program(text).total(of_operation, trips)


def of_operation(line: Instruction, lines: Lines) -> float:
    """Operations of a line that calls nothing, or only a sum."""
    size, given = math.prod(line.shape), [lines[n].shape for n in line.operands]
    if line.kind in FREE:
        return 0
    if line.kind == "dot":
        axes = line.attribute(r"lhs_contracting_dims=\{([\d,]*)\}")
        return 2 * size * math.prod(given[0][int(a)] for a in axes.split(",") if a)
    if line.kind == "reduce":
        return (math.prod(given[0]) - size) * (len(given) // 2)
    if line.kind == "reduce-window":
        window = line.attribute(r"size=([\dx]+)").split("x")
        return size * (math.prod(map(int, window)) - 1)
    if line.kind == "scatter":
        return math.prod(given[-1])
    if line.kind == "sort":
        return math.ceil(size * math.log2(max(size, 2)))
    return size


def known_trips(attributes: str) -> int | None:
    """How often a loop runs, if the compiler knows."""
    found = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', attributes)
    return int(found[1]) if found else None


def lines_of(body: str) -> Lines:
    """The lines of a computation, by name."""
    return {line[1]: read(*line) for line in INSTRUCTION.findall(body)}


def read(
    root: str, name: str, shape: str, kind: str, operands: str, rest: str
) -> Instruction:
    """One match of `INSTRUCTION`."""
    sides = [sizes(found[2]) for found in SHAPE.findall(shape)]
    size = sum(
        math.prod(side) * max(int(bits or 8) // 8, 1)
        for side, (_, bits, _) in zip(sides, SHAPE.findall(shape), strict=True)
    )
    given = tuple(re.findall(r"%([\w.-]+)", operands))
    return Instruction(name, (sides or [()])[0], size, kind, given, rest, bool(root))


def sizes(text: str) -> tuple[int, ...]:
    """The axes of a shape: "7,5" gives (7, 5)."""
    return tuple(map(int, filter(None, text.split(","))))
