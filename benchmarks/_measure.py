"""What the scripts share: taking turns, facts of the machine, and showing results."""

import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import jax

from ple_jax import process, writers

Name = TypeVar("Name", bound=Hashable)
Record = dict[str, Any]


def command(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every script, in a process set up as `ple-jax`."""
    process.keep_memory()
    parser = argparse.ArgumentParser(
        description=doc,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quick", action="store_true", help="small, to see it run")
    return parser


def seconds(function: Callable[..., Any], *args: Any) -> float:
    """How long one call takes, what it returns on the device included."""
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - start


def in_turn(
    ways: Mapping[Name, Callable[[], Any]], rounds: int, warm_up: int = 1
) -> dict[Name, list[float]]:
    """Seconds of each way's calls, after some to warm up.

    The ways take turns, so that whatever else the machine does falls on all alike.
    """
    taken: dict[Name, list[float]] = {name: [] for name in ways}
    for turn in range(warm_up + rounds):
        for name, way in ways.items():
            time_taken = seconds(way)
            if turn >= warm_up:
                taken[name].append(time_taken)
    return taken


def medians(taken: Mapping[Name, list[float]]) -> dict[Name, float]:
    """The median of each way."""
    return {name: statistics.median(each) for name, each in taken.items()}


def machine() -> Record:
    """What measured."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "backend": jax.default_backend(),
        "jax": jax.__version__,
    }


def processor() -> str:
    """Its name; Linux tells it in /proc/cpuinfo alone."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def peak_memory() -> int:
    """Bytes that this process has held at most, mapped files included.

    `ru_maxrss` also remembers the process that started this one, VmHWM does not.
    """
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def show(title: str, results: list[Record], as_json: bool) -> None:
    """Prints one row a record and the machine below, or all as one JSON object."""
    if as_json:
        print(json.dumps({"results": results, "machine": machine()}, indent=2))
        return
    columns = list(dict.fromkeys(name for record in results for name in record))
    rows = [[cell(record.get(name)) for name in columns] for record in results]
    writers.show(writers.grid(title, columns, rows))
    print(", ".join(f"{name} {value}" for name, value in machine().items()))


def cell(value: Any) -> str:
    """A figure as a person reads it: four digits, or all of a whole number."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
