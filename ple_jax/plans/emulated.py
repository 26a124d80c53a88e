"""The compiled program of a step for devices that are not there.

Devices are emulated by this machine's processor. XLA divides a program among them as
among others: shapes, operations and collectives are those of any backend. Which lines
it fuses is the processor's own, and so are temporary memory and the bytes through it.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np

from ple_jax.config.experiment import AUTO, Experiment
from ple_jax.data.loader import shapes_of
from ple_jax.embeddings.sharded import OVER_MEAN
from ple_jax.embeddings.updates import RowUpdates
from ple_jax.parallel.mesh import (
    DATA,
    MODEL,
    batch_shardings,
    check_experts,
    make_mesh,
    replicated_sharding,
)
from ple_jax.plans.job import Job
from ple_jax.plans.kinds import Kind
from ple_jax.runs.defaults import row_order
from ple_jax.train import vmapped
from ple_jax.train.feed import SHARE, most_steps
from ple_jax.train.setup import shapes
from ple_jax.train.state import TrainState
from ple_jax.train.trainer import step_of, trainer_of
from ple_jax.types import Batch, Picks, PyTree

QUICK = {  # to compile: it never runs
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


class Emulated(NamedTuple):
    """A step's program, and the shapes and places of what it takes."""

    state: TrainState
    batches: Batch | Picks  # of one dispatch
    steps: int  # in it
    compiled: jax.stages.Compiled

    @property
    def sent(self) -> PyTree:
        """What the host sends for a dispatch: not the split, which is there."""
        batches = self.batches
        return batches.rows if isinstance(batches, Picks) else batches


def devices(count: int, model: int = 1) -> jax.sharding.Mesh:
    """A mesh of emulated devices; to be called before JAX has made any.

    `model` of them share the experts of each part of a batch.
    """
    config: Any = jax.config
    try:
        config.update("jax_platforms", "cpu")
        config.update("jax_num_cpu_devices", max(count, config.jax_num_cpu_devices))
    except RuntimeError:  # it has: then there may be enough
        pass
    return make_mesh(count, model=model)


def emulate(job: Job, kind: Kind, mesh: jax.sharding.Mesh) -> Emulated:
    """Compiles the step of a job, as devices of a kind would run it."""
    with traced_for(kind.platform):
        each = [laid_out(one, mesh.size) for one in job.experiments]
        args = job.layout, job.steps_per_epoch
        room = exchanged(step_of(each[0], *args, mesh).rows, mesh)
        if len(each) > 1:
            shared = job.orders == 1
            trainer = vmapped.trainer_of(each, *args, shared, mesh, room)
        else:
            trainer = trainer_of(each[0], *args, mesh, room)
        if MODEL in mesh.shape:
            check_experts(mesh, trainer.shapes())
        state = shapes(trainer, mesh, len(each) > 1)
        batches, steps = batches_of(job, kind, mesh)
        steps_of: Any = trainer.steps
        jitted, knobs = (
            getattr(steps_of, "func", steps_of),
            getattr(steps_of, "args", ()),
        )
        lowered = jitted.lower(*knobs, state, batches, 1)
    return Emulated(state, batches, steps, lowered.compile(QUICK))


def laid_out(experiment: Experiment, count: int) -> Experiment:
    """The experiment with the order of rows that a run on `count` devices has.

    What SparseCores exchange is planned as it is without them.
    """
    inputs = dataclasses.replace(experiment.inputs, exchange="all_to_all")
    if inputs.row_order == AUTO:
        inputs = dataclasses.replace(inputs, row_order=row_order(count))
    return dataclasses.replace(experiment, inputs=inputs)


def exchanged(rows: RowUpdates, mesh: jax.sharding.Mesh) -> dict[str, float]:
    """The tables whose rows devices exchange, with room for 1.25 times an even share.

    A run makes room for what its first batches ask, which is less where an id occurs
    several times in a slice.
    """
    parts = mesh.shape[DATA]
    even = min(1.0, OVER_MEAN / parts)
    return dict.fromkeys(rows.optimizers, even) if parts > 1 else {}


@contextmanager
def traced_for(platform: str) -> Iterator[None]:
    """Lets the package's own code choose as it does on another backend."""
    with mock.patch.object(jax, "default_backend", return_value=platform):
        yield


def batches_of(
    job: Job, kind: Kind, mesh: jax.sharding.Mesh
) -> tuple[Batch | Picks, int]:
    """The batches of a dispatch, as `train.feed` would send them; how many."""
    train, on_device = job.experiment.train, split_on_device(job, kind)
    sent = job.orders * job.batch_size * job.example_bytes
    steps = most_steps(train, sent // kind.hosts(mesh.size), on_device)
    lead = (steps, job.orders) if job.orders > 1 else (steps,)
    if not on_device:
        batches = shapes_of(job.layout, *lead, job.batch_size)
        return placed(batches, batch_shardings(mesh, batches, len(lead))), steps
    rows = jax.ShapeDtypeStruct((*lead, job.batch_size), np.int32)
    split = shapes_of(job.layout, job.examples)
    everywhere = jax.tree.map(lambda leaf: replicated_sharding(mesh), split)
    picked = placed(rows, batch_shardings(mesh, rows, len(lead)))
    return Picks(placed(split, everywhere), picked), steps


def split_on_device(job: Job, kind: Kind) -> bool:
    """Whether devices of a kind hold the whole train split."""
    fits = job.examples * job.example_bytes <= SHARE * kind.memory
    wanted = job.experiment.train.data_on
    return wanted == "device" or (wanted == "auto" and fits)


def placed(tree: PyTree, places: PyTree) -> PyTree:
    """Shapes with their places."""
    return jax.tree.map(lambda leaf, place: leaf.update(sharding=place), tree, places)
