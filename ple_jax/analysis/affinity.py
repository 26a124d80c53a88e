"""Task affinity: whether a step for one task helps another, and which to group."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.analysis.conflict import BATCHES, random_batches, trained_state
from ple_jax.runs.directory import Run
from ple_jax.train import merging
from ple_jax.train.setup import Setup
from ple_jax.train.step import Step
from ple_jax.types import Batch, PyTree

LENGTH = 1e-3  # of a step, by the length of what it moves
MOST = 8  # tasks of which every grouping is tried: 4,140


def task_affinity(run: Run, batches: int = BATCHES) -> dict[str, Any]:
    """What a step for one task, on what tasks share, does to each task's loss.

        Z_ij = 1 - L_j(s - e |s| g_i / |g_i|) / L_j(s),   e = 0.001

    of the shared parameters s and the gradient g_i of task i there, on the same batch.
    Above 0, a step for i helps j. Batches of train are drawn at random, at the best
    checkpoint.

    Args:
        run: A run of at least two tasks.
        batches: How many.

    Returns:
        Plain arrays:

        tasks      the names (T,)
        mean       (T, T) over batches, of the task that steps by the one measured
        deviation  (T, T) of batches
        groups     lists of tasks to train together: see `groups_of`

        A mean is NaN where nothing is shared, or no batch has the label.

    Differs from the paper: steps are as long for each task, whatever its loss is in,
    and the best checkpoint is looked at, not the mean over all of a training.
    Reference: Fifty et al., NeurIPS 2021, equation 1.
    """
    tasks = [task.name for task in run.data.layout.tasks]
    setup = Setup([run.experiment], run.data)
    step = setup.step
    state = trained_state(step, run)
    shared = step.shared(state)
    of = jax.jit(lambda state, batch: affinities(step, state, batch, shared))
    split = run.data.split("train")
    size = min(setup.train.batch_size, len(split))
    each = [of(state, batch) for batch in random_batches(split, batches, size)]
    found = np.array(each, np.float64).reshape(batches, len(tasks), len(tasks))
    known = np.where(np.isfinite(found), found, np.nan)
    mean = _over_batches(np.mean, known)
    return {
        "tasks": tasks,
        "mean": mean,
        "deviation": _over_batches(np.std, known),
        "groups": [[tasks[i] for i in group] for group in groups_of(mean)],
    }


def _over_batches(how: Any, found: np.ndarray) -> np.ndarray:  # (n, T, T) -> (T, T)
    """A statistic over batches, without those that do not know it."""
    known = lambda values: values[~np.isnan(values)]
    of = lambda values: how(known(values)) if len(known(values)) else np.nan
    return np.array([[of(pair) for pair in row] for row in np.moveaxis(found, 0, -1)])


def affinities(
    step: Step, state: PyTree, batch: Batch, shared: PyTree
) -> jax.Array:  # (T, T)
    """Z of one batch; NaN of tasks without a label or a gradient."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.seed), state.step)
    batch = step.rows.with_touched_rows(batch)
    moving, batch = step.rows.with_row_deltas(state.trained, batch)
    losses_of = lambda trained: step.losses(trained, state, batch, key)
    before, grads, _, _ = merging.task_gradients(losses_of, moving)
    parts = ("model", "tables")
    where = {part: shared[part] for part in parts}
    own = jax.tree.map(lambda g, of: g * of[None], {p: grads[p] for p in parts}, where)
    length = lambda tree: jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(tree)))
    here = {part: state.trained[part] for part in parts}
    size = length(jax.tree.map(lambda x, of: x * of, here, where))

    def after(number: jax.Array) -> jax.Array:  # (T,) losses
        grad = jax.tree.map(lambda g: g[number], own)
        rate = LENGTH * size / length(grad)
        # Rows that a step updates stand as changes, which begin at 0.
        start = {part: moving[part] for part in parts}
        moved = jax.tree.map(lambda x, g: x - rate * g, start, grad)
        return losses_of(moving | moved)[0][0]

    losses = jax.lax.map(after, jnp.arange(len(before)))
    return 1 - losses / before[None]


def groups_of(affinity: np.ndarray) -> list[list[int]]:
    """The grouping of tasks (T, T) in which most help comes to each from its group.

        max over groupings of sum_j mean of Z_ij over the others i of j's group

    A task by itself counts 0, and of groupings that are worth the same the fewest
    groups are taken. Up to 8 tasks every grouping is tried; of more, the two groups
    whose union gains most are merged until each loses. Unknown affinities are 0.
    """
    z = np.nan_to_num(affinity)
    if len(z) <= MOST:
        return max(
            partitions(list(range(len(z)))), key=lambda p: (worth(z, p), -len(p))
        )
    groups = [[i] for i in range(len(z))]
    while len(groups) > 1:
        best = max(_merged(groups), key=lambda p: worth(z, p))
        if worth(z, best) < worth(z, groups):
            break
        groups = best
    return groups


def worth(affinity: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    """What a grouping is worth: the help that each task has from its group, summed."""
    total = 0.0
    for group in groups:
        for j in group:
            others = [affinity[i, j] for i in group if i != j]
            total += float(np.mean(others)) if others else 0.0
    return round(total, 12)  # so that sums in another order are the same


def partitions(items: list[int]) -> Iterator[list[list[int]]]:
    """Every grouping of some items.

    Example:
        >>> [*partitions([0, 1])]
        [[[0, 1]], [[0], [1]]]
    """
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for found in partitions(rest):
        for i in range(len(found)):
            yield [*found[:i], [first, *found[i]], *found[i + 1 :]]
        yield [[first], *found]


def _merged(groups: list[list[int]]) -> Iterator[list[list[int]]]:
    """The groupings in which two groups are one."""
    for b in range(len(groups)):
        for a in range(b):
            rest = [g for i, g in enumerate(groups) if i not in (a, b)]
            yield [*rest, groups[a] + groups[b]]
