"""Our step, its share of the device's rates, and PyTorch's turns between ours."""

import dataclasses
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import _measure
import jax
import jax.numpy as jnp

from peers import count, problem
from peers.protocol import Child
from peers.sizes import Size, arrays
from ple_jax.train.step import Trainer, trainer_of
from ple_jax.types import Batch

Record = _measure.Record
DTYPES = ("float32", "bfloat16")  # that a model can compute in
WITHIN = 25  # seconds, of one case; its first turn in any event
Rates = dict[str, float]  # dtype -> operations a second; "copy" -> bytes a second


def trainer_for(
    model: str, size: Size, dtype: str = "float32", update: str = "auto"
) -> Trainer:
    """The library's own step."""
    experiment = problem.experiment_of(model, size, {"update": update})
    train = dataclasses.replace(experiment.train, compute_dtype=dtype)
    experiment = dataclasses.replace(experiment, train=train)
    return trainer_of(experiment, problem.layout_of(size))


def dispatch(trainer: Trainer, batches: Batch) -> Callable[[], jax.Array]:
    """A function that takes a step on each batch, from where it stopped before."""
    state, ready = trainer.init(), jax.device_put(trainer.prepare(batches))

    def run():
        nonlocal state
        state, done = trainer.steps(state, ready, len(batches.labels))
        return done

    return run


def measure(
    rates: Rates, side: int, copied: int, queued: int, rounds: int
) -> list[Record]:
    """Finds the best that the device does: products of (side, side), and a copy.

    A turn is so many calls; GPUs need that for their queue not to run dry.
    """
    ways = {
        "bfloat16": _measure.product(side, side, side, jnp.bfloat16),
        "float32": _measure.product(side, side, side),
        "float32, highest": _measure.product(side, side, side, precision="highest"),
        "copy": _measure.copy(copied),
    }
    work = dict.fromkeys(ways, 2 * side**3) | {"copy": 8 * copied}
    ways = {name: _measure.queued(way, queued) for name, way in ways.items()}
    taken = _measure.medians(_measure.in_turn(ways, rounds, warm_up=2))
    rates |= {name: queued * work[name] / taken[name] for name in ways}
    return [
        {"of": name, "GB/s": rate / 1e9}
        if name == "copy"
        else {"of": name, "TFLOP/s": rate / 1e12}
        for name, rate in rates.items()
    ]


def step_records(size: Size, steps: int, rounds: int, rates: Rates) -> list[Record]:
    """PLE and MMoE in all dtypes, in turn."""
    batches = problem.batches_of(arrays(size, steps))
    ways = {
        (model, dtype): dispatch(trainer_for(model, size, dtype), batches)
        for model in count.MODELS
        for dtype in DTYPES
    }
    taken = _measure.medians(_measure.in_turn(ways, rounds, within=WITHIN))
    updated = bool(jax.eval_shape(trainer_for("ple", size).init).row_state)
    rows = count.rows(batches.ids[:1], size, updated)
    return [
        {"model": model, "dtype": dtype, "tables": "rows" if updated else "dense"}
        | speeds(count.work(model, size, rows), size.batch, seconds / steps)
        | shares(count.work(model, size, rows), seconds / steps, dtype, rates)
        for (model, dtype), seconds in taken.items()
    ]


def speeds(work: count.Work, batch: int, seconds: float) -> Record:
    """Of one step."""
    return {
        "ms": 1e3 * seconds,
        "examples/s": batch / seconds,
        "TFLOP/s": work.operations / seconds / 1e12,
        "GB/s": work.bytes / seconds / 1e9,
    }


def shares(work: count.Work, seconds: float, dtype: str, rates: Rates) -> Record:
    """Of the rates reached; nothing where they were not measured.

    The floor is the longer of the operations at the rate of this dtype's product, and
    of the bytes at that of the copy.
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
    """Our step and the compiled strong line's, in turn, at one size.

    A compiler that does not come to an end is ended at `end`.
    """
    asked = {
        "model": model,
        "size": dataclasses.asdict(size),
        "dtype": dtype,
        "device": "cpu" if jax.default_backend() == "cpu" else "cuda",
        "batches": steps,
    }
    ours = dispatch(
        trainer_for(model, size, dtype), problem.batches_of(arrays(size, steps))
    )
    ending = threading.Timer(max(end - time.monotonic(), 0), child.process.kill)
    ending.start()
    try:
        turns = [(_measure.seconds(ours), ask(child, asked)) for _ in range(rounds + 1)]
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
    """Seconds of one turn of the child's, by its own clock."""
    said = child.ask(asked)
    if "error" in said:
        raise RuntimeError(said["error"])
    return said["seconds"]
