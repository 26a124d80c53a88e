"""Task weights that are trained to bring all losses to one scale."""

import jax.numpy as jnp

from ple_jax.weightings import Weighting


def build() -> Weighting:
    """L = sum_k exp(s_k) L_k - s_k, where s_k is trained.

    At rest exp(s_k) L_k is 1 for each task: losses of any scale weigh alike. The
    optimizer of the model trains s_k, from 0. A task that the batch has no label of
    adds nothing, so its s_k rests.

    Reference: Liu et al., ICLR 2021 (IMTL-L), section 3.2, equation 10.
    """

    def init(num_tasks):
        return {"log_scale": jnp.zeros(num_tasks, jnp.float32)}, ()

    def combine(params, memory, losses, now):
        s = params["log_scale"]
        return jnp.sum(jnp.exp(s) * losses - s, where=now.seen), memory

    return Weighting(init, combine)
