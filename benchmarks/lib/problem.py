"""A size of the problem in this library's terms: layout, experiment, batches, step."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ple_jax import models
from ple_jax.config.experiment import Experiment, Inputs, Plugin, Train
from ple_jax.layout import IdColumn, Layout, NumberColumn
from ple_jax.schema import Task
from ple_jax.train.trainer import Trainer, trainer_of
from ple_jax.types import Batch

from .sizes import Size


def layout_of(size: Size) -> Layout:
    """Fields with a table each, plain numbers, binary tasks."""
    names = [f"field_{i}" for i in range(size.fields)]
    return Layout(
        ids=tuple(IdColumn(name, name, size.rows) for name in names),
        bags=(),
        numbers=tuple(NumberColumn(f"number_{i}") for i in range(size.numbers)),
        tasks=tuple(Task(f"task_{i}") for i in range(size.tasks)),
        domains=tuple(f"domain_{i}" for i in range(size.domains)),
    )


def experiment_of(model: str, size: Size, **inputs: Any) -> Experiment:
    """Adam at 1e-3 for everything, constant task weights."""
    return Experiment(
        data=Plugin("synthetic", {}),
        model=Plugin(model, options_of(model, size)),
        weighting=Plugin("fixed", {}),
        inputs=Inputs(embedding_dim=size.width, **inputs),
        train=Train(batch_size=size.batch),
    )


def options_of(model: str, size: Size) -> dict[str, Any]:
    """What a size says of a model's options."""
    said = {
        "expert_dims": size.expert_dims,
        "tower_dims": size.tower_dims,
        "num_experts": size.experts,
        "num_levels": size.levels,
        "experts_per_task": size.own,
        "shared_experts": size.shared,
        "groups": size.groups,
        "shared_sees": size.shared_sees,
    }
    known = models.describe(model)["options"]
    return {name: value for name, value in said.items() if name in known}


def batches_of(arrays: Mapping[str, np.ndarray]) -> Batch:
    """The arrays of `sizes.arrays` as batches with a leading axis of steps."""
    labels = np.asarray(arrays["labels"])
    return Batch(
        ids=np.asarray(arrays["ids"]),
        bags={},
        numbers=np.asarray(arrays["numbers"]),
        domain=np.asarray(arrays["domain"]),
        labels=labels,
        observed=np.ones(labels.shape, bool),
        weights=np.ones(labels.shape[:2], np.float32),
    )


def trainer_for(
    model: str,
    size: Size,
    dtype: str = "float32",
    remat: bool = False,
    **inputs: Any,
) -> Trainer:
    """The library's own training step at this size."""
    experiment = experiment_of(model, size, **inputs)
    train = dataclasses.replace(experiment.train, compute_dtype=dtype, remat=remat)
    experiment = dataclasses.replace(experiment, train=train)
    return trainer_of(experiment, layout_of(size))


def dispatch(trainer: Trainer, batches: Batch) -> Callable[[], jax.Array]:
    """A function that trains on every batch, from where its last call stopped."""
    state, ready = trainer.init(), jax.device_put(trainer.prepare(batches))

    def run():
        nonlocal state
        state, done = trainer.steps(state, ready, len(batches.labels))
        return done

    return run
