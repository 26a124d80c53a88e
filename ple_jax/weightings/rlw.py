"""Task weights drawn anew at each step."""

from typing import Literal

import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.weightings import Weighting, softmax

Distribution = Literal["normal", "dirichlet"]


def build(distribution: Distribution = "normal") -> Weighting:
    """L = sum_k w_k L_k, with random w_k that add up to the number of tasks.

    Tasks that the batch has no label of take no part: neither in the draw, nor in the
    number.

    Args:
        distribution: What w is drawn from: "normal" is the softmax of standard normal
            values, "dirichlet" is uniform over all weights of that sum.

    Reference: Lin et al., TMLR 2022, section 3.1.
    Differs from the paper: there weights add up to 1; here they have the scale of
        `fixed` weights, whose mean is 1.
    """
    checks.choice(Distribution, distribution=distribution)

    def init(num_tasks):
        return (), ()

    def combine(params, memory, losses, now):
        logits = drawn(distribution, now.key, losses.shape)
        weights = softmax(logits, now.seen)
        return now.seen.sum() * jnp.sum(weights * losses), memory

    return Weighting(init, combine)


def drawn(distribution, key, shape):
    """The logarithms of weights, but for their sum."""
    if distribution == "normal":
        return jax.random.normal(key, shape)
    return jnp.log(jax.random.exponential(key, shape))
