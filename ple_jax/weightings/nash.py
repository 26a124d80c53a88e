"""The bargaining solution among the tasks' gradients."""

import jax
import jax.numpy as jnp

from ple_jax.weightings import Weighting, gram

RIDGE, STEPS = 1e-5, 20


def build(tables: bool = True) -> Weighting:
    """d = sum_k w_k g_k with G w = 1 / w, w > 0, where G is the Gram matrix.

    d has the greatest product of all <g_k, d> for its length, which is sqrt(T). At
    T = 2, w_k = 1 / (||g_k|| sqrt(1 + cos)), cos the cosine of the gradients. For more
    tasks Newton's steps find the least of w G w / 2 - sum_k log w_k.

    Args:
        tables: Whether rows of tables are among the shared parameters; if not, they
            move by the plain sum of the gradients.

    Reference: Navon et al., ICML 2022 (Nash-MTL), section 3.1, claim 3.1.
    Differs from the paper: Newton's method, for a sequence of convex programs; weights
        are new at every step. G has 1e-5 more on its diagonal, once gradients have
        length 1, without which opposite gradients would have infinite weights.
    """

    def weights(matrix, live, now):
        cosines = gram.cosines(matrix, RIDGE)
        of_units = bargained(cosines) if len(live) > 2 else of_few(cosines)
        return of_units / gram.norms(matrix)

    return gram.stateless(weights, tables)


def of_few(cosines):
    """The w (T,) of one or two tasks, whose gradients have length 1."""
    return jax.lax.rsqrt(cosines.sum(axis=1))


def bargained(cosines):
    """The w (T,) of gradients of length 1, by damped Newton steps, which keep w > 0."""

    def body(_, w):
        slope = cosines @ w - 1 / w
        step = jnp.linalg.solve(cosines + jnp.diag(1 / w**2), slope)
        decrement = jnp.sqrt(jnp.maximum(slope @ step, 0))
        return w - step / jnp.where(decrement < 0.25, 1, 1 + decrement)

    return jax.lax.fori_loop(0, STEPS, body, jnp.ones(len(cosines)))
