"""Each gradient without what conflicts with the others."""

import jax
import jax.numpy as jnp

from ple_jax.weightings import Weighting, gram


def build(tables: bool = True) -> Weighting:
    """d = sum_k g_k', where g_k' is g_k after, for all j in random order,

        g_k' <- g_k' - min(0, <g_k', g_j>) / ||g_j||^2 g_j

    Without conflicts d is the sum of the gradients.

    Args:
        tables: Whether rows of tables are among the shared parameters; if not, they
            move by the plain sum of the gradients.

    Reference: Yu et al., NeurIPS 2020, section 3.2, algorithm 1.
    """

    def weights(matrix, live, now):
        count = len(live)
        keys = jax.random.split(now.key, count)
        orders = jax.vmap(lambda key: jax.random.permutation(key, count))(keys)
        mixed = jax.vmap(lambda own, order: without_conflicts(matrix, own, order))
        return jnp.sum(mixed(jnp.diag(live.astype(jnp.float32)), orders), axis=0)

    return gram.stateless(weights, tables)


def without_conflicts(matrix, own, order):
    """The weights (T,) of g_k', from those of g_k, by the tasks in this order."""
    squares = gram.norms(matrix) ** 2

    def body(i, w):
        j = order[i]
        return w.at[j].add(-jnp.minimum(0, matrix[j] @ w) / squares[j])

    return jax.lax.fori_loop(0, len(own), body, own)
