"""A plan: memory, bytes moved, the least time of a step, and what bounds it."""

from typing import Any

from ple_jax.plans import kinds, moved
from ple_jax.plans.emulated import Emulated, devices, emulate
from ple_jax.plans.job import Job, bytes_of, bytes_of_device
from ple_jax.plans.program import Program, memory, of_operation
from ple_jax.train.state import TrainState, training_of, variables_of
from ple_jax.train.stopping import RUN_AHEAD
from ple_jax.types import Picks

HELD = RUN_AHEAD + 2  # dispatches whose batches a device holds: one runs, one comes
Record = dict[str, Any]


def plan(job: Job, count: int, kind_name: str) -> Record:
    """What each of `count` devices of a kind needs to train a job; ready for JSON.

    Of several trials that is what they need together, as one program; only the batch
    size, the examples and their speed are each one's.

        bound = max(operations / peak, bytes / bandwidth, sent / link, input / link)

    by the peaks of `kinds`: no step takes less, but where memory binds one that fuses
    more than this machine's processor may. Nothing is trained, and no device is
    needed: state and batches are shapes, the rest is read from the program that XLA
    compiles for as many emulated devices.

    Args:
        job: What is trained; its `train.mesh.model` devices share experts.
        count: How many devices.
        kind_name: A name of `kinds.KINDS`.

    Raises:
        ValueError: There is no such kind, or so many cannot share a batch; names the
            nearest that can.
    """
    kind, model = kinds.find(kind_name), job.experiment.train.mesh.model
    kinds.check_count(kind_name, count, job.batch_size, model)
    found = emulate(job, kind, devices(count, model))
    step = costs(found)
    peaks = peaks_of(kind, count, job.experiment.train.compute_dtype)
    seconds = {name: step[name] / peak for name, peak in peaks.items()}
    binds = max(seconds, key=lambda name: seconds[name])
    hosts, rate = kind.hosts(count), job.batch_size / seconds[binds]
    sent = step["input"] * count / job.batch_size  # of an example
    return {
        "trials": [trial.name for trial in job.trials if trial.name],
        "devices": count,
        "kind": kind_name,
        "hosts": hosts,
        "batch_size": job.batch_size,
        "examples": job.examples,
        "compute_dtype": job.experiment.train.compute_dtype,
        "memory": memory_of(found),
        "memory_of_device": kind.memory,
        "step": step,
        "peaks": peaks,
        "seconds": seconds,
        "binds": binds,
        "bound": seconds[binds],
        "examples_per_second": rate,
        "epoch": job.steps_per_epoch * seconds[binds],
        "checkpoint": checkpoint_bytes(found.state),
        "best": bytes_of(variables_of(found.state)) if len(job.trials) > 1 else 0,
        "split_on_device": isinstance(found.batches, Picks),
        "input": {"bytes": rate * sent, "bytes_of_host": rate * sent / hosts},
    }


def peaks_of(kind: kinds.Kind, count: int, dtype: str) -> Record:
    """What each device can do in a second: of operations, and of bytes by way."""
    return {
        "operations": kind.peak(dtype),
        "memory": kind.bandwidth,
        "network": kind.between(count),
        "input": kind.host,
    }


def costs(found: Emulated) -> Record:
    """What one step does on each device: operations, and bytes by where they go."""
    program = Program(found.compiled.as_text() or "")
    once = lambda depth: 1  # the loop of steps; on accelerators no other is open
    return {
        "operations": program.total(of_operation, once),
        "memory": moved.through_memory(program, once),
        "network": moved.between_devices(program, once),
        "input": bytes_of_device(found.sent) / found.steps,
    }


def memory_of(found: Emulated) -> dict[str, int]:
    """Bytes that each device holds, by what for."""
    state, trained = found.state, found.state.trained
    parts = {
        "tables": trained["tables"],
        "parameters": {k: v for k, v in trained.items() if k != "tables"},
        "optimizer": (state.opt_state, state.row_state, state.memory),
        "average": state.average,
        "metrics": (state.batch_stats, state.totals, state.stream),
    }
    held = {name: bytes_of_device(part) for name, part in parts.items()}
    if isinstance(found.batches, Picks):
        held["split"] = bytes_of_device(found.batches.split)
    held["batches"] = HELD * bytes_of_device(found.sent)
    held["temporaries"] = memory(found.compiled).temporary
    return held | {"total": sum(held.values())}


def checkpoint_bytes(state: TrainState) -> int:
    """Bytes of the arrays of one checkpoint, over all devices, not compressed."""
    return bytes_of((variables_of(state), training_of(state)))
