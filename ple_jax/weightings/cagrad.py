"""The direction near the mean gradient that helps the worst task most."""

from typing import Annotated

import jax.numpy as jnp

from ple_jax import checks
from ple_jax.space import Between
from ple_jax.weightings import Weighting, gram

SWEEPS = 40


def build(
    c: Annotated[float, Between(0.1, 0.9)] = 0.4, tables: bool = True
) -> Weighting:
    """max_d min_k <g_k, d>, with ||d - g_0|| <= c ||g_0||, g_0 the mean of g_k.

        d = g_0 + c ||g_0|| g_w / ||g_w||,   g_w = sum_k w_k g_k,
        w = argmin <g_w, g_0> + c ||g_0|| ||g_w||,   w_k >= 0, sum_k w_k = 1

    Means are over the tasks that the batch has labels of. At T = 2, w is known in
    closed form; otherwise from minimisation over pairs of tasks.

    Args:
        c: How far d may be from the mean, in [0, 1); 0 is the mean itself.
        tables: Whether rows of tables are among the shared parameters; if not, they
            move by the plain sum of the gradients.

    Reference: Liu et al., NeurIPS 2021, section 3.2, equation 3 and algorithm 1; the
        default is the one of their experiments on scenes.
    """
    checks.rate("weighting", c=c)

    def weights(matrix, live, now):
        mean = live / jnp.maximum(live.sum(), 1)
        matrix = matrix / jnp.maximum(jnp.trace(matrix), gram.TINY)
        radius = c * length(matrix, mean)
        found = hardest(matrix, mean, radius, live)
        return mean + radius / jnp.maximum(length(matrix, found), 1e-8) * found

    return gram.stateless(weights, tables)


def length(matrix, w):
    """The length of a combination."""
    return jnp.sqrt(jnp.maximum(w @ matrix @ w, 0))


def hardest(matrix, mean, radius, live):
    """The w that makes <g_w, g_0> + radius ||g_w|| the least.

    Along a line it is b t + radius sqrt(p (t + q / p)^2 + rest), the least at a t known
    in closed form, or at an end where b outweighs the root.
    """

    def along(w, direction):
        b = direction @ matrix @ mean
        p = jnp.maximum(direction @ matrix @ direction, gram.TINY)
        q, r = direction @ matrix @ w, w @ matrix @ w
        rest = jnp.maximum(r - q**2 / p, 0)
        steep = radius**2 * p - b**2
        inner = -b * jnp.sqrt(rest / p) / jnp.sqrt(jnp.maximum(steep, gram.TINY))
        return jnp.where(steep > 0, inner - q / p, -jnp.sign(b))

    return gram.on_simplex(along, live, gram.sweeps_over(len(live), SWEEPS))
