"""What a compiled program costs: operations, loops included, and memory.

XLA's own `cost_analysis` counts a loop's body once, however often it runs. This counts
it as often as the program says, or else as often as the caller does. Otherwise it
counts like XLA: two operations a multiplication and addition of a product, one an
element of any other arithmetic, comparison or choice, in a fusion too, however often
the fusion computes it; none for exponentials, logarithms and roots, nor for what only
moves data. A product is a `dot` in the text, whichever library runs it.
"""

import math
import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax

COMPUTATION = re.compile(r"^(?:ENTRY )?%([\w.-]+) \(.*?\{\n(.*?)^\}", re.M | re.S)
INSTRUCTION = re.compile(
    r"^ +(?:ROOT )?%([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\(([^)]*)\)(.*)$", re.M
)
SHAPE = re.compile(r"\w+\[([\d,]*)\]")
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
    kind: str
    operands: tuple[str, ...]
    rest: str  # attributes

    def called(self, role: str) -> str:
        """The computation that it calls as `role`."""
        return re.search(rf"\b{role}=%([\w.-]+)", self.rest)[1]


class Memory(NamedTuple):
    """Bytes of a compiled program."""

    temporary: int  # held while it runs, beside arguments and results
    donated: int  # results that lie where arguments did
    arguments: int
    results: int


def memory(compiled: jax.stages.Compiled) -> Memory:
    """The compiler's plan of memory, which holds before anything runs."""
    plan = compiled.memory_analysis()
    return Memory(
        plan.temp_size_in_bytes,
        plan.alias_size_in_bytes,
        plan.argument_size_in_bytes,
        plan.output_size_in_bytes,
    )


def operations(text: str, trips: Callable[[int], int] = lambda depth: 1) -> int:
    """Counts the operations of a compiled program from its text.

    Args:
        text: `compiled.as_text()`.
        trips: How often a loop runs whose count the program computes itself, by the
            number of loops around it.
    """
    bodies = {
        name: [read(line) for line in INSTRUCTION.findall(body)]
        for name, body in COMPUTATION.findall(text)
    }
    entry = re.search(r"^ENTRY %([\w.-]+)", text, re.M)[1]

    @cache
    def of_computation(name: str, depth: int) -> int:
        shapes = {line.name: line.shape for line in bodies[name]}
        return sum(of_line(line, shapes, depth) for line in bodies[name])

    def of_line(line: Instruction, shapes, depth: int) -> int:
        if line.kind == "while":
            count = known_trips(line.rest) or trips(depth)
            return count * of_computation(line.called("body"), depth + 1)
        if line.kind == "fusion":
            return of_computation(line.called("calls"), depth)
        if line.kind == "call":
            return of_computation(line.called("to_apply"), depth)
        if line.kind == "conditional":
            names = re.findall(r"%([\w.-]+)", line.rest.partition("metadata")[0])
            return max(of_computation(name, depth) for name in names)
        return of_operation(line, shapes)

    return of_computation(entry, 0)


def of_operation(line: Instruction, shapes: dict[str, tuple[int, ...]]) -> int:
    """Operations of a line that calls nothing, or only a sum."""
    size, given = math.prod(line.shape), [shapes.get(name) for name in line.operands]
    if line.kind in FREE:
        return 0
    if line.kind == "dot":
        axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", line.rest)[1]
        return 2 * size * math.prod(given[0][int(a)] for a in axes.split(",") if a)
    if line.kind == "reduce":
        return (math.prod(given[0]) - size) * (len(given) // 2)
    if line.kind == "reduce-window":
        window = re.search(r"size=([\dx]+)", line.rest)[1].split("x")
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


def read(line: tuple[str, ...]) -> Instruction:
    """One match of `INSTRUCTION`."""
    name, shape, kind, operands, rest = line
    sides = SHAPE.search(shape)
    sizes = tuple(map(int, sides[1].split(","))) if sides and sides[1] else ()
    return Instruction(
        name, sizes, kind, tuple(re.findall(r"%([\w.-]+)", operands)), rest
    )
