"""Task weights that grow or shrink geometrically, as PLE trains with."""

from typing import Literal

import jax.numpy as jnp

from ple_jax.weightings import Weighting, per_task


def build(
    weights: tuple[float, ...] = (),
    ratios: tuple[float, ...] = (),
    clock: Literal["epoch", "step"] = "epoch",
) -> Weighting:
    """L = sum_k w_k gamma_k^t L_k.

    Args:
        weights: Each task's weight w_k at the start; empty is 1 for all.
        ratios: Each task's updating ratio gamma_k; empty is 1 for all.
        clock: What t counts, from 0.

    Reference: Tang et al., RecSys 2020, section 4.3, equations 8 and 10.
    Differs from the paper: its text updates the weights after each step, yet calls t
        the epoch; here the clock is an option, and the epoch is its default.
    """

    def init(num_tasks):
        memory = {
            "weights": per_task(weights, num_tasks, "weights"),
            "ratios": per_task(ratios, num_tasks, "ratios"),
        }
        return (), memory

    def combine(params, memory, losses, now):
        t = getattr(now, clock).astype(jnp.float32)
        return jnp.sum(memory["weights"] * memory["ratios"] ** t * losses), memory

    return Weighting(init, combine)
