"""Gradients made orthogonal and of one length, as little changed as possible."""

from typing import Literal

import jax.numpy as jnp

from ple_jax import checks
from ple_jax.weightings import Weighting, gram

Scale = Literal["min", "median", "rmse"]
LEAST = 1e-6  # of an eigenvalue, in units of the greatest


def build(scale: Scale = "min", tables: bool = True) -> Weighting:
    """d = sum_k w_k g_k,  w = sigma G^(-1/2) 1, where G is the Gram matrix.

    The rows of sigma G^(-1/2) J, J the gradients, are orthogonal and of length sigma;
    d is their sum. Eigenvalues of G below 1e-6 of the greatest count as 0.

    Args:
        scale: Which sigma: the smallest singular value of J, the median, or the root of
            their mean square.
        tables: Whether rows of tables are among the shared parameters; if not, they
            move by the plain sum of the gradients.

    Reference: Senushkin et al., CVPR 2023 (Aligned-MTL), section 4.2, algorithm 1; the
        other scales are options of the authors' code.
    """
    checks.choice(Scale, scale=scale)

    def weights(matrix, live, now):
        values, vectors = jnp.linalg.eigh(matrix)
        counts = values > LEAST * jnp.maximum(values.max(), gram.TINY)
        safe = jnp.where(counts, values, 1)
        roots = jnp.where(counts, 1 / jnp.sqrt(safe), 0)
        sigma = jnp.sqrt(scale_of(jnp.where(counts, safe, jnp.nan)))
        return sigma * (vectors * roots[None]) @ (vectors.T @ live.astype(jnp.float32))

    def scale_of(values):
        found = {"min": jnp.nanmin, "median": jnp.nanmedian, "rmse": jnp.nanmean}
        return jnp.nan_to_num(found[scale](values))

    return gram.stateless(weights, tables)
