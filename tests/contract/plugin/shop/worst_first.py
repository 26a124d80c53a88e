"""The soft maximum of the task losses: the worst task counts most."""

import jax

from ple_jax.weightings import Weighting


def build(sharpness: float = 1.0) -> Weighting:
    """L = log(sum_k exp(a L_k)) / a.

    Args:
        sharpness: a, above 0; the larger, the nearer to the worst task's loss alone.
    """
    if not sharpness > 0:
        raise ValueError(f"weighting.sharpness must be above 0, got {sharpness}.")

    def init(num_tasks):
        return (), ()

    def combine(params, memory, losses, now):
        return jax.nn.logsumexp(sharpness * losses) / sharpness, memory

    return Weighting(init, combine)
