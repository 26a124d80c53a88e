"""The sample spaces that a task which is given another can be learned on."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from ple_jax.checks import choice
from ple_jax.schema import Task

Space = Literal["own", "entire", "all"]


def learned_on(tasks: Sequence[Task], space: Space) -> tuple[Task, ...]:
    """The tasks, of which those that are given another are learned on a space.

        own      the examples with the label 1 of the other
        entire   all examples, as the chance of both: `entire_space` of `Task`
        all      all examples, of which those outside of `own` count as 0 in train

    Validation and test are on a task's own space in each case. A task that is learned
    on `all`, the naive way, reads the column `naive_NAME` of `naive_labels`.
    """
    choice(Space, **{"data.space": space})
    of = {"own": lambda task: task, "entire": _entire, "all": _naive}[space]
    return tuple(of(task) if task.given else task for task in tasks)


def _entire(task: Task) -> Task:
    return dataclasses.replace(task, entire_space=True)


def _naive(task: Task) -> Task:
    return Task(task.name, f"naive_{task.name}")


def naive_labels(
    label: np.ndarray,  # (B,) bool
    known: np.ndarray,  # (B,) bool, whether the label is known where `given` is
    given: np.ndarray,  # (B,) bool, whether the task that it is given has the label 1
    split: Sequence[str] | np.ndarray,  # (B,)
) -> pa.Array:  # (B,) int8
    """Labels that are 0 outside of the task's own space in train, and missing else."""
    outside = ~given & (np.asarray(split) == "train")
    there = (given & known) | outside
    return pa.array((label & given).astype(np.int8), mask=~there)
