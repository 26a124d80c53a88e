"""Constant task weights."""

import jax.numpy as jnp

from ple_jax.weightings import Weighting, check_weights, per_task


def build(weights: tuple[float, ...] = ()) -> Weighting:
    """L = sum_k w_k L_k.

    Args:
        weights: One weight w_k per task; without any, all are 1.

    Reference: Tang et al., RecSys 2020, section 4.3, equation 8.
    """
    check_weights(weights=weights)

    def init(num_tasks):
        return (), per_task(weights, num_tasks, "weights")

    def combine(params, memory, losses, now):
        return jnp.sum(memory * losses), memory

    return Weighting(init, combine)
