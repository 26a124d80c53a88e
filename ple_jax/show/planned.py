"""A plan of a training, as tables and sentences."""

from collections.abc import Mapping
from typing import Any

from ple_jax.show.grid import Grid

Found = Mapping[str, Any]  # what `plans.plan.plan` returns
PREFIXES = ("", "k", "M", "G", "T", "P", "E")
PARTS = {
    "tables": "tables",
    "parameters": "parameters of the model",
    "optimizer": "states of optimizers",
    "average": "moving average",
    "metrics": "metrics, batch statistics",
    "split": "the train split",
    "batches": "batches on their way",
    "temporaries": "activations, gradients, temporaries",
    "total": "in all",
}
COSTS = {
    "operations": ("operations", "FLOP"),
    "memory": ("through memory", "B"),
    "network": ("sent to other devices", "B"),
    "input": ("from the host", "B"),
}
BY = {
    "operations": "operations",
    "memory": "memory bandwidth",
    "network": "the network",
    "input": "input from the host",
}


def grids(found: Found) -> list[Grid]:
    """Memory of a device, and what a step does on it."""
    capacity = found["memory_of_device"]
    held = [
        (PARTS[name], scaled(size, "B"), f"{size / capacity:.1%}")
        for name, size in found["memory"].items()
        if size
    ]
    done = [
        (
            COSTS[name][0],
            scaled(found["step"][name], COSTS[name][1]),
            scaled(found["peaks"][name], COSTS[name][1] + "/s"),
            scaled(found["seconds"][name], "s"),
        )
        for name in COSTS
    ]
    kind = found["kind"]
    return [
        Grid(f"memory of each {kind}", ("", "bytes", f"of {kind}"), held),
        Grid(f"one step on each {kind}", ("", "amount", "peak", "at the peak"), done),
    ]


def lines(found: Found) -> list[str]:
    """What it comes to: whether it fits, what binds it, and what it asks of hosts."""
    count, batch = found["devices"], found["batch_size"]
    given, trials = found["input"], found["trials"]
    several, each = len(trials) > 1, " of each trial" * (len(trials) > 1)
    return [
        *[f"{len(trials)} trials as one program: {'  '.join(trials)}"] * several,
        f"{count:,} {found['kind']} on {found['hosts']:,} host(s), a batch of "
        f"{batch:,}{each}, {batch // count:,} a device, in {found['compute_dtype']}",
        _fits(found),
        f"at the peaks a step takes {scaled(found['bound'], 's')}, bound by "
        f"{BY[found['binds']]}: {scaled(found['examples_per_second'], '')} "
        f"examples/s{each}, an epoch of {found['examples']:,} in "
        f"{scaled(found['epoch'], 's')}",
        f"input at that speed: {scaled(given['bytes'], 'B/s')} in all, "
        f"{scaled(given['bytes_of_host'], 'B/s')} a host"
        + " (numbers of rows; the split lies on each device)"
        * found["split_on_device"],
        f"a checkpoint: {scaled(found['checkpoint'], 'B')}; {_kept(found)}",
    ]


def _kept(found: Found) -> str:
    """Which checkpoints are kept."""
    if not found["best"]:
        return "a run keeps two, the newest and the best"
    return (
        "trials keep two of all until they end, and the best variables of each: "
        f"{scaled(found['best'], 'B')} in all"
    )


def _fits(found: Found) -> str:
    """Whether a device's memory is enough."""
    share = found["memory"]["total"] / found["memory_of_device"]
    if share <= 1:
        return f"it fits: {share:.1%} of a device's memory"
    if len(found["trials"]) > 1:
        return (
            f"it does not fit: it needs {share:.2f} times a device's memory; the "
            "trials train side by side, so sweep fewer at a time, or take more devices"
        )
    return (
        f"it does not fit: it needs {share:.2f} times a device's memory; more devices "
        "hold a smaller part of the tables and of a batch each"
    )


def scaled(value: float, unit: str) -> str:
    """A number to three digits, with the prefix of its unit.

    Example:
        >>> scaled(3.35e12, "B/s"), scaled(0.00125, "s"), scaled(0, "B")
        ('3.35 TB/s', '1.25 ms', '0 B')
    """
    small = {"m": 1e-3, "µ": 1e-6, "n": 1e-9} if unit == "s" else {}
    for prefix, one in reversed(small.items()):
        if 0 < value < 1000 * one:
            return f"{value / one:.3g} {prefix}{unit}"
    place = 0
    while unit != "s" and value >= 999.5 and place < len(PREFIXES) - 1:
        value, place = value / 1000, place + 1
    number = f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"
    return f"{number} {PREFIXES[place]}{unit}".strip()
