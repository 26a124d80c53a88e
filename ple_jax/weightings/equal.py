"""Equal weights, with gradients of shared parameters scaled to one length."""

from typing import Literal

import jax.numpy as jnp

from ple_jax import checks
from ple_jax.weightings import Weighting, gram

Scale = Literal["norm", "tasks"]


def build(scale: Scale = "norm", tables: bool = True) -> Weighting:
    """d = sum_k w_k g_k,  w_k = mean_j ||g_j|| / ||g_k||, or w_k = 1 / T.

    Means and T are over the tasks that the batch has labels of.

    Args:
        scale: "norm" gives each gradient the mean length, "tasks" divides by T: shared
            parameters then move by the mean, private ones by their own gradient.
        tables: Whether rows of tables are among the shared parameters; if not, they
            move by the plain sum of the gradients.

    Reference: none; the plainest method that balances gradients, to compare others
        with.
    """
    checks.choice(Scale, scale=scale)

    def weights(matrix, live, now):
        count = jnp.maximum(live.sum(), 1)
        if scale == "tasks":
            return live / count
        length = gram.norms(matrix)
        return jnp.sum(length, where=live) / count / length

    return gram.stateless(weights, tables)
