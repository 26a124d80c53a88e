"""Each gradient projected to where it harms no task."""

import jax
import jax.numpy as jnp

from ple_jax.weightings import Weighting, gram

SWEEPS = 40


def build(tables: bool = True) -> Weighting:
    """d = mean_k pi(g_k), pi the projection onto {d: <d, g_j> >= 0 for all j}.

    A step along -d raises no task's loss, and without conflicts d is the mean gradient.

        pi(g_k) = sum_j x_j g_j with the x that makes its length the least,
        x_k >= 1, other x_j >= 0

    At T = 2 this is what PCGrad does; the quadratic programs of more tasks are solved
    coordinate by coordinate. Means are over the tasks that the batch has labels of.

    Args:
        tables: Whether rows of tables are among the shared parameters; if not, they
            move by the plain sum of the gradients.

    Reference: Quinton and Rey, 2024 (Jacobian descent, UPGrad), section 3.
    """

    def weights(matrix, live, now):
        least = jnp.diag(live.astype(jnp.float32))
        cosines, length = gram.cosines(matrix), gram.norms(matrix)
        projected = jax.vmap(lambda own: projection(cosines, own))(least)
        each = projected * length[:, None] / length[None]
        return each.sum(axis=0) / jnp.maximum(live.sum(), 1)

    return gram.stateless(weights, tables)


def projection(cosines, least):
    """The u >= `least` (T,) that makes u C u the least, C with a diagonal of ones."""
    count = len(least)

    def body(i, u):
        j = i % count
        return u.at[j].set(jnp.maximum(least[j], u[j] - cosines[j] @ u))

    sweeps = gram.sweeps_over(count, SWEEPS)
    return jax.lax.fori_loop(0, sweeps * count, body, least)
