"""What methods on the Gram matrix of the tasks' gradients have in common.

A task is live if the batch has labels of it and its gradient of shared parameters is
not zero. The others take no part, and get the weight 0.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.weightings import Now, Weighting

TINY = 1e-30


def stateless(
    weights: Callable[[jax.Array, jax.Array, Now], jax.Array], tables: bool
) -> Weighting:
    """A weighting whose weights are a function of (gram (T, T), live (T,), now)."""

    def weigh(memory, losses, gram, now):
        live = live_tasks(gram, now.seen)
        found = weights(only(gram, live), live, now)
        return jnp.where(live, found, 0), memory

    return Weighting(lambda num_tasks: ((), ()), weigh=weigh, tables=tables)


def live_tasks(gram: jax.Array, seen: jax.Array) -> jax.Array:  # (T,) bool
    """Tasks that have labels, and a gradient."""
    return seen & (jnp.diagonal(gram) > TINY)


def only(gram: jax.Array, live: jax.Array) -> jax.Array:  # (T, T)
    """The Gram matrix with zeros for tasks that are not live."""
    return jnp.where(live[:, None] & live[None], gram, 0)


def norms(gram: jax.Array) -> jax.Array:  # (T,)
    """||g_k||, and 1 where it is 0."""
    squares = jnp.diagonal(gram)
    return jnp.sqrt(jnp.where(squares > 0, squares, 1))


def cosines(gram: jax.Array, ridge: float = 0.0) -> jax.Array:  # (T, T)
    """The Gram matrix of the gradients scaled to length 1.

    The diagonal is 1 for each task, live or not, and `ridge` more, which keeps the
    matrix invertible where gradients are linearly dependent.
    """
    length = norms(gram)
    eye = jnp.eye(len(gram))
    return jnp.where(eye > 0, 1 + ridge, gram / (length[:, None] * length[None]))


def sweeps_over(num_tasks: int, most: int) -> int:
    """Sweeps that a minimisation over pairs of tasks takes: the first is exact at 2."""
    return most if num_tasks > 2 else 1


def on_simplex(
    along: Callable[[jax.Array, jax.Array], jax.Array],
    live: jax.Array,  # (T,) bool
    sweeps: int,
) -> jax.Array:  # (T,)
    """Minimises a convex function over weights that are at least 0 and add up to 1.

    Each step moves weight between two live tasks, to the least value along that line;
    a sweep passes all pairs.

    Args:
        along: Maps (w, direction) to the t that makes w + t direction the least.
        live: Tasks that may have weight; w starts equal on them.
        sweeps: Passes over all pairs.
    """
    first, second = map(jnp.asarray, np.triu_indices(len(live), 1))

    def body(i, w):
        a, b = first[i % len(first)], second[i % len(first)]
        direction = jnp.zeros_like(w).at[a].set(1.0).at[b].set(-1.0)
        t = jnp.clip(along(w, direction), -w[a], w[b])
        return w + jnp.where(live[a] & live[b], t, 0) * direction

    start = live / jnp.maximum(live.sum(), 1)
    if not len(first):
        return start
    return jax.lax.fori_loop(0, sweeps * len(first), body, start)
