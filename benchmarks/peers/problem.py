"""The problem of a size in our library's terms: layout, experiment and batches."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from peers.sizes import TASKS, Size
from ple_jax.config.experiment import Experiment, Inputs, Plugin, Train
from ple_jax.schema import IdColumn, Layout, NumberColumn, Task
from ple_jax.types import Batch


def layout_of(size: Size) -> Layout:
    """Fields with a table each, plain numbers, binary tasks, one domain."""
    names = [f"field_{i}" for i in range(size.fields)]
    return Layout(
        ids=tuple(IdColumn(name, name, size.rows) for name in names),
        bags=(),
        numbers=tuple(NumberColumn(f"number_{i}") for i in range(size.numbers)),
        tasks=tuple(Task(f"task_{i}") for i in range(TASKS)),
        domains=("all",),
    )


def experiment_of(
    model: str,
    size: Size,
    inputs: Mapping[str, Any] | None = None,
    steps_per_dispatch: int = 1,
) -> Experiment:
    """Adam at 1e-3 for everything, constant task weights."""
    return Experiment(
        data=Plugin("synthetic", {}),
        model=Plugin(model, options_of(model, size)),
        weighting=Plugin("fixed", {}),
        inputs=Inputs(embedding_dim=size.width, **(inputs or {})),
        train=Train(batch_size=size.batch, steps_per_dispatch=steps_per_dispatch),
    )


def options_of(model: str, size: Size) -> dict[str, Any]:
    """The options of PLE or MMoE."""
    widths = {"expert_dims": size.expert_dims, "tower_dims": size.tower_dims}
    if model == "mmoe":
        return widths | {"num_experts": size.experts}
    return widths | {
        "num_levels": size.levels,
        "experts_per_task": size.own,
        "shared_experts": size.shared,
    }


def batches_of(arrays: Mapping[str, np.ndarray]) -> Batch:
    """What `sizes.arrays` drew, as batches with a leading axis of steps."""
    labels = np.asarray(arrays["labels"])
    return Batch(
        ids=np.asarray(arrays["ids"]),
        bags={},
        numbers=np.asarray(arrays["numbers"]),
        domain=np.zeros(labels.shape[:2], np.int32),
        labels=labels,
        observed=np.ones(labels.shape, bool),
        weights=np.ones(labels.shape[:2], np.float32),
    )
