"""Timing: ways that are compared take turns."""

import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import jax

Name = TypeVar("Name", bound=Hashable)


def seconds(function: Callable[..., Any], *args: Any) -> float:
    """Time one call, until its results are ready on the device."""
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - start


def in_turn(
    ways: Mapping[Name, Callable[[], Any]],
    rounds: int,
    warm_up: int = 1,
    within: float = math.inf,
) -> dict[Name, list[float]]:
    """Time `rounds` calls of each way, after `warm_up` calls that are not counted.

    The ways take turns, so that other load on the machine slows all of them alike.
    Once `within` seconds have passed, compilation included, no new round starts; the
    first round always runs.
    """
    end = time.monotonic() + within
    taken: dict[Name, list[float]] = {name: [] for name in ways}
    for turn in range(warm_up + rounds):
        if turn > warm_up and time.monotonic() > end:
            break
        for name, way in ways.items():
            time_taken = seconds(way)
            if turn >= warm_up:
                taken[name].append(time_taken)
    return taken


def queued(call: Callable[[], Any], times: int) -> Callable[[], Any]:
    """One call that makes `times` calls without waiting between them.

    A GPU works through them in order, so its queue does not run dry.
    """

    def run():
        for _ in range(times):
            last = call()
        return last

    return run


def medians(taken: Mapping[Name, list[float]]) -> dict[Name, float]:
    """The median of each way."""
    return {name: statistics.median(each) for name, each in taken.items()}
