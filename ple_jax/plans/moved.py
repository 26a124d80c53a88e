"""Bytes that a compiled program moves: through a device's memory, and between devices.

Memory is counted as XLA's `cost_analysis` counts it, but loops as often as they run: a
line, or a fusion of several, reads its operands and writes its result. A gather or a
slice reads what it gives; a scatter or an update in place reads and writes what it
changes; neither touches the rest of a table.
"""

import math
import re
from collections.abc import Callable, Iterator

from ple_jax.plans.program import Instruction, Lines, Program, sizes

AT_NO_COST = frozenset(
    "after-all bitcast constant get-tuple-element parameter partition-id replica-id "
    "tuple".split()
)
READS = ("gather", "dynamic-slice")  # a part of the first operand
CHANGES = {"scatter": 2, "dynamic-update-slice": 1}  # which operand is the new part
SENT: dict[str, Callable[[int, int], float]] = {
    "all-reduce": lambda size, n: 2 * size * (n - 1) / n,
    "all-gather": lambda size, n: size * (n - 1) / n,
    "all-to-all": lambda size, n: size * (n - 1) / n,
    "reduce-scatter": lambda size, n: size * (n - 1),
    "collective-permute": lambda size, n: size,
}


def through_memory(program: Program, trips: Callable[[int], int]) -> float:
    """Bytes that one device reads and writes."""

    def cost(line: Instruction, lines: Lines) -> float:
        if line.kind == "fusion":
            return of_fusion(line, program.bodies[line.called("calls")])
        return of_line(line, lines)

    return program.total(cost, trips, fused=True)


def of_line(line: Instruction, lines: Lines) -> float:
    """Bytes that a line reads and writes."""
    given = [lines[name].size for name in line.operands]
    if line.kind in AT_NO_COST:
        return 0
    if line.kind in READS:
        return 2 * line.size + sum(given[1:])
    if line.kind in CHANGES:
        part = given.pop(CHANGES[line.kind])
        return 3 * part + sum(given[1:])
    return line.size + sum(given)


def of_fusion(line: Instruction, body: Lines) -> float:
    """Bytes that a fusion reads and writes: what is in between stays in registers."""
    read = sum(_read(one, body) for one in body.values() if one.kind == "parameter")
    root = next(one for one in body.values() if one.is_root)
    results = [body[name] for name in root.operands] if root.kind == "tuple" else [root]
    return read + sum(_written(result, body) for result in results)


def _read(parameter: Instruction, body: Lines) -> float:
    """Bytes of a parameter that the body of a fusion reads."""
    parts = 0.0
    for user, place in _users(parameter, body):
        if place == 0 and user.kind in READS:
            parts += user.size
        elif place == 0 and user.kind in CHANGES:
            part = body[user.operands[CHANGES[user.kind]]].size
            parts += part if user.kind == "scatter" else 0
        else:
            return parameter.size
    return min(parts, parameter.size)


def _users(line: Instruction, body: Lines) -> Iterator[tuple[Instruction, int]]:
    """What uses a line, and as which operand; bitcasts only pass it on."""
    for user in body.values():
        if line.name in user.operands:
            if user.kind == "bitcast":
                yield from _users(user, body)
            else:
                yield user, user.operands.index(line.name)


def _written(result: Instruction, body: Lines) -> float:
    """Bytes of a result that are new."""
    while result.kind == "bitcast":
        result = body[result.operands[0]]
    if result.kind in CHANGES:
        return body[result.operands[CHANGES[result.kind]]].size
    return result.size


def between_devices(program: Program, trips: Callable[[int], int]) -> float:
    """Bytes that one device sends by collectives.

        all-reduce 2 s (n - 1) / n      all-gather, all-to-all s (n - 1) / n
        reduce-scatter s (n - 1)        collective-permute s

    for a result of s bytes in a group of n devices, as rings send them.
    """

    def cost(line: Instruction, lines: Lines) -> float:
        return SENT[line.kind](line.size, group(line)) if line.kind in SENT else 0

    return program.total(cost, trips)


def group(line: Instruction) -> int:
    """Devices in a group of a collective, in each form that XLA writes groups."""
    rest = line.rest
    if found := re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", rest):
        axes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
        return math.prod(int(axes[a]) for a in re.findall(r"'(\w+)'", found[2]))
    if found := re.search(r"replica_groups=\[([\d,]+)\]<=", rest):
        return sizes(found[1])[-1]
    if found := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return len(sizes(found[1]))
    return 1
