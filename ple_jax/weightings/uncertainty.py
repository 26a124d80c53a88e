"""Task weights that are trained as the variances of the tasks' noise."""

from typing import Annotated

import jax.numpy as jnp

from ple_jax.space import Between
from ple_jax.weightings import Weighting


def build(log_variance: Annotated[float, Between(-2.0, 2.0)] = 0.0) -> Weighting:
    """L = sum_k exp(-s_k) L_k + s_k / 2, where s_k is trained.

    s_k is the logarithm of the variance of task k's noise. The optimizer of the model
    trains it. A task that the batch has no label of adds nothing, so its s_k rests.

    Args:
        log_variance: What each s_k starts from.

    Reference: Kendall et al., CVPR 2018, section 3.2, equations 7 and 10.
    Differs from the paper: a squared error has no factor of 1/2. Its s_k is then larger
        by log 2, and all gradients are the same.
    """

    def init(num_tasks):
        start = jnp.zeros(num_tasks, jnp.float32) + log_variance
        return {"log_variance": start}, ()

    def combine(params, memory, losses, now):
        s = params["log_variance"]
        each = jnp.exp(-s) * losses + s / 2
        return jnp.sum(each, where=now.seen), memory

    return Weighting(init, combine)
