"""Our step on one device: its share of the device's rates, and PyTorch beside it."""

import dataclasses
import statistics
import threading
import time
from typing import Any

import jax

from . import floor, problem
from .measure import in_turn, medians, seconds
from .protocol import Child
from .rates import Rates
from .report import Record
from .sizes import MODELS, Size, arrays

DTYPES = ("float32", "bfloat16")  # that a model can compute in
WITHIN = 25  # seconds for one case, though its first round always runs


def step_records(size: Size, steps: int, rounds: int, rates: Rates) -> list[Record]:
    """Measure PLE and MMoE in all dtypes, in turn."""
    batches = problem.batches_of(arrays(size, steps))
    ways = {
        (model, dtype): problem.dispatch(
            problem.trainer_for(model, size, dtype), batches
        )
        for model in MODELS
        for dtype in DTYPES
    }
    taken = medians(in_turn(ways, rounds, within=WITHIN))
    by_rows = bool(problem.trainer_for("ple", size).shapes().row_state)
    records = []
    for (model, dtype), of_dispatch in taken.items():
        work, of_step = floor.work(model, size, by_rows), of_dispatch / steps
        tables = "rows" if by_rows else "dense"
        record = {"model": model, "dtype": dtype, "tables": tables}
        record |= speeds(work, size.batch, of_step)
        records.append(record | shares(work, of_step, dtype, rates))
    return records


def speeds(work: floor.Work, batch: int, seconds: float) -> Record:
    """The rates that one step of `seconds` reaches."""
    return {
        "ms": 1e3 * seconds,
        "examples/s": batch / seconds,
        "TFLOP/s": work.operations / seconds / 1e12,
        "GB/s": work.bytes / seconds / 1e9,
    }


def shares(work: floor.Work, seconds: float, dtype: str, rates: Rates) -> Record:
    """The same as shares of the device's rates; empty if those were not measured.

    floor = max(operations / rate of this dtype's product, bytes / rate of the copy)
    """
    if not rates:
        return {}
    floor = max(work.operations / rates[dtype], work.bytes / rates["copy"])
    return {
        "of bf16 product": work.operations / seconds / rates["bfloat16"],
        "of copy": work.bytes / seconds / rates["copy"],
        "floor / step": floor / seconds,
    }


def beside_torch(
    child: Child,
    model: str,
    size: Size,
    dtype: str,
    steps: int,
    rounds: int,
    end: float,
) -> list[Record]:
    """Measure our step and PyTorch's compiled one (`peers/strong.py`), in turn.

    Raises:
        TimeoutError: PyTorch's compiler still ran at `end`; it has been killed.
        RuntimeError: PyTorch failed.
    """
    asked = {
        "model": model,
        "size": dataclasses.asdict(size),
        "dtype": dtype,
        "device": "cpu" if jax.default_backend() == "cpu" else "cuda",
        "batches": steps,
    }
    batches = problem.batches_of(arrays(size, steps))
    ours = problem.dispatch(problem.trainer_for(model, size, dtype), batches)
    ending = threading.Timer(max(end - time.monotonic(), 0), child.process.kill)
    ending.start()
    try:
        turns = [(seconds(ours), ask(child, asked)) for _ in range(rounds + 1)]
    except RuntimeError:
        if time.monotonic() < end:
            raise
        raise TimeoutError("ended, PyTorch took too long.") from None
    finally:
        ending.cancel()
    own, theirs = (statistics.median(each) for each in zip(*turns[1:], strict=True))
    return [
        {
            "model": model,
            "dtype": dtype,
            "ours": 1e3 * own / steps,
            "PyTorch": 1e3 * theirs / steps,
            "PyTorch / ours": theirs / own,
        }
    ]


def ask(child: Child, asked: dict[str, Any]) -> float:
    """Seconds of one turn of the child, by its own clock."""
    said = child.ask(asked)
    if "error" in said:
        raise RuntimeError(said["error"])
    return said["seconds"]
