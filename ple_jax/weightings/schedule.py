"""Task weights that grow or shrink geometrically, as in the PLE paper."""

from typing import Literal

import jax.numpy as jnp

from ple_jax.weightings import Weighting, check_weights, per_task


def build(
    weights: tuple[float, ...] = (),
    ratios: tuple[float, ...] = (),
    clock: Literal["epoch", "step"] = "epoch",
) -> Weighting:
    """L = sum_k w_k gamma_k^t L_k.

    Args:
        weights: Initial weight w_k of each task; without any, all are 1.
        ratios: Ratio gamma_k of each task's weight from one t to the next; without
            any, all are 1.
        clock: What t counts, from 0: epochs or steps.

    Reference: Tang et al., RecSys 2020, section 4.3, equations 8 and 10.
    Differs from the paper: the paper updates the weights after each step but calls t
        the epoch; here `clock` chooses, by default the epoch.
    """
    check_weights(weights=weights, ratios=ratios)

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
