"""The combination that all tasks' gradients project onto equally."""

import jax.numpy as jnp

from ple_jax.weightings import Weighting, gram

RIDGE = 1e-6


def build(tables: bool = True) -> Weighting:
    """d = sum_k w_k g_k with <d, g_k> / ||g_k|| the same for all k, and sum_k w_k = 1.

    w is proportional to G^-1 n, with G the Gram matrix and n_k = ||g_k||. At T = 2 that
    is w_1 = n_2 / (n_1 + n_2). Of more tasks some w_k may be negative.

    Args:
        tables: Whether rows of tables are among the shared parameters; if not, they
            move by the plain sum of the gradients.

    Reference: Liu et al., ICLR 2021 (IMTL-G), section 3.1, equation 6.
    """

    def weights(matrix, live, now):
        of_units = jnp.linalg.solve(
            gram.cosines(matrix, RIDGE), live.astype(jnp.float32)
        )
        each = of_units / gram.norms(matrix)
        each = each / jnp.maximum(jnp.abs(each).max(), gram.TINY)
        total = each.sum()
        return each / jnp.where(jnp.abs(total) > 1e-6, total, 1)

    return gram.stateless(weights, tables)
