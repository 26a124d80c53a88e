"""Lines of JSON between a benchmark and its child processes, which take turns.

The parent writes {"case": {...}, "steps": n} and the child answers {"ms": [...],
"parameters": n}; {"case": {...}, "compare": folder} is answered {"compared": folder}.
A child builds a case on its first request. It answers an exception with {"error": why}
and goes on.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from .sizes import BATCHES, Size

WARM_UP = 3  # unmeasured steps after building
PATIENCE = 30  # seconds that a child has to end by itself
ROOT = pathlib.Path(__file__).parents[1]  # where `lib` and `peers` are found
# What `ple-jax` asks of glibc (ple_jax/parallel/runtime.py), for every contender.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_ARENA_MAX": "1",
}


class Case(NamedTuple):
    """What a child is asked to build."""

    library: str
    model: str  # ple or mmoe
    size: Size
    batches: str  # the file that `sizes.draw` wrote
    threads: int

    def to_json(self) -> dict[str, Any]:
        """A tree that JSON can hold."""
        return {**self._asdict(), "size": dataclasses.asdict(self.size)}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> "Case":
        """Read the tree that `to_json` made."""
        return cls(**{**tree, "size": Size.from_json(tree["size"])})


class Contender(NamedTuple):
    """A case that has been built."""

    step: Callable[[int], None]  # trains on batch i; returns when that is done
    parameters: int
    compare: Callable[[pathlib.Path], None] | None = None  # see compare.py


def use_cores(count: int) -> None:
    """Limit this process, and all that it starts, to `count` cores and threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    os.environ |= {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": str(count)}


class Child:
    """A contender's process, which lasts until `close`."""

    def __init__(self, python: str, module: str):
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until close
        self.process = subprocess.Popen(
            [python, "-m", module],
            cwd=ROOT,
            env={**os.environ, **KEEP_MEMORY},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask one request; an ended child gives an error as its answer."""
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"error": self._why_it_ended()}

    def _why_it_ended(self) -> str:
        if (code := self.process.wait()) < 0:
            return f"killed by signal {-code}; out of memory?"
        self.said.seek(0)
        return (self.said.read().splitlines() or [f"exit status {code}"])[-1]

    def close(self) -> None:
        """End the process, which frees its memory."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.said.close()


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer every line of standard input, as a child, until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    for line in sys.stdin:
        try:
            said = answer(json.loads(line))
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), file=answers, flush=True)


class Cases:
    """Builds each case on its first request, then measures or compares it."""

    def __init__(self, build: Callable[[Case], Contender]):
        self.build = build
        self.built: dict[str, tuple[Contender, Iterator[int]]] = {}

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request."""
        key = json.dumps(request["case"])
        if key not in self.built:
            case = Case.from_json(request["case"])
            self.built[key] = self.build(case), itertools.count()
            milliseconds(*self.built[key], WARM_UP)
        contender, numbers = self.built[key]
        if "compare" in request:
            contender.compare(pathlib.Path(request["compare"]))
            return {"compared": request["compare"]}
        times = milliseconds(contender, numbers, request["steps"])
        return {"ms": times, "parameters": contender.parameters}


def milliseconds(
    contender: Contender, numbers: Iterator[int], steps: int
) -> list[float]:
    """Time each step, after one that only warms the caches up again."""
    times = []
    for i in itertools.islice(numbers, steps + 1):
        start = time.perf_counter()
        contender.step(i % BATCHES)
        times.append(1000 * (time.perf_counter() - start))
    return times[1:]
