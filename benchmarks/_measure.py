"""What the scripts share: taking turns, facts of the machine, and showing results."""

import argparse
import functools
import gc
import json
import math
import os
import pathlib
import platform
import resource
import statistics
import time
import traceback
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from rich.table import Table

from ple_jax.parallel import runtime
from ple_jax.show import console, tables

Name = TypeVar("Name", bound=Hashable)
Record = dict[str, Any]


def command(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every script, in a process set up as `ple-jax`."""
    runtime.keep_memory()
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
    ways: Mapping[Name, Callable[[], Any]],
    rounds: int,
    warm_up: int = 1,
    within: float = math.inf,
) -> dict[Name, list[float]]:
    """Seconds of each way's calls, after some to warm up.

    The ways take turns, so that whatever else the machine does falls on all alike.
    After `within` seconds, compiling included, no further turn starts but the first.
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
    """Calls without waiting between them: a GPU takes them in order."""

    def run():
        for _ in range(times):
            last = call()
        return last

    return run


def medians(taken: Mapping[Name, list[float]]) -> dict[Name, float]:
    """The median of each way."""
    return {name: statistics.median(each) for name, each in taken.items()}


def product(
    a: int, b: int, c: int, dtype: Any = jnp.float32, precision: str | None = None
) -> Callable[[], jax.Array]:
    """Of matrices (a, b) and (b, c) of random numbers: zeros would take less power."""
    keys, shapes = jax.random.split(jax.random.key(0)), ((a, b), (b, c))
    matrices = [jax.random.normal(*of, dtype) for of in zip(keys, shapes, strict=True)]
    multiply = functools.partial(jnp.matmul, precision=precision)
    return functools.partial(jax.jit(multiply), *matrices)


def copy(floats: int) -> Callable[[], jax.Array]:
    """Reads and writes a large array in place: new memory would cost its first use."""
    array = jnp.zeros(floats, jnp.float32)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)

    def run():
        nonlocal array
        array = add(array)
        return array

    return run


class Section(NamedTuple):
    """One question of a script of several: its cases, and what follows from them."""

    title: str
    cases: Mapping[str, Callable[[], list[Record]]]
    conclude: Callable[[list[Record]], list[str]] = lambda records: []


def answer(section: Section, share: float, until: float, end: float) -> Record:
    """The records of all cases that fit the time, and notes on the others.

    Args:
        section: What is measured.
        share: The section's seconds; it starts if half of them are left.
        until: When it should end, by `time.monotonic`: later if others left time over.
        end: When all must end.
    """
    results: list[Record] = []
    notes: list[str] = []
    failed: list[str] = []
    until, longest = max(until, time.monotonic() + share / 2), 0.0
    for name, case in section.cases.items():
        start = time.monotonic()
        if until > end or until - start < longest:
            left = max(min(until, end) - start, 0)
            notes.append(f"{name}: skipped, {left:.0f} s were left.")
            continue
        try:
            results += case()
        except TimeoutError as error:
            notes.append(f"{name}: {error}")
        except Exception as error:  # the other figures are worth keeping
            traceback.print_exc()
            why = str(error).partition("\n")[0]
            failed.append(f"{name}: failed, {type(error).__name__}: {why}")
        gc.collect()  # frees what a failed case held on the device
        longest = max(longest, time.monotonic() - start)
    notes += section.conclude(results)
    return {"results": results, "notes": notes, "failed": failed}


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
    console.show(table(title, results))
    print(", ".join(f"{name} {value}" for name, value in machine().items()))


def table(title: str, results: list[Record]) -> Table:
    """One row a record."""
    columns = list(dict.fromkeys(name for record in results for name in record))
    rows = [[cell(record.get(name)) for name in columns] for record in results]
    return tables.grid(title, columns, rows)


def cell(value: Any) -> str:
    """A figure as a person reads it: four digits, or all of a whole number."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
