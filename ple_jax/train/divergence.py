"""Numbers that are no longer finite: found, and explained."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.types import PyTree


def not_finite(tree: PyTree, vmapped: bool = False) -> list[str]:
    """Each trial's first array that holds a NaN or an infinity, by path, or "".

    Args:
        tree: What is trained.
        vmapped: Whether its arrays have a leading axis of trials.
    """
    flags = jax.tree.leaves_with_path(jax.device_get(_flags(tree, vmapped)))
    bad = [(jax.tree_util.keystr(path), np.atleast_1d(flag)) for path, flag in flags]
    trials = range(len(bad[0][1]))
    return [next((name for name, flag in bad if flag[i]), "") for i in trials]


@partial(jax.jit, static_argnums=1)
def _flags(tree: PyTree, vmapped: bool) -> PyTree:  # of () or (R,) bool
    axes = lambda leaf: tuple(range(int(vmapped), leaf.ndim))
    return jax.tree.map(lambda leaf: ~jnp.isfinite(leaf).all(axes(leaf)), tree)


def error(step: int, fault: str) -> FloatingPointError:
    """What a run that diverged raises."""
    return FloatingPointError(
        f"Training diverged before step {step}: {fault}. Lower train.learning_rate, or "
        "set train.clip_norm."
    )
