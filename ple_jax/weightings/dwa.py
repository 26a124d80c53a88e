"""Task weights by how fast each loss fell over the last epochs."""

from typing import Annotated

import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.space import Between
from ple_jax.weightings import Weighting


def build(temperature: Annotated[float, Between(0.5, 5.0)] = 2.0) -> Weighting:
    """L = sum_k w_k L_k,  w_k = T softmax_k(r_k / temperature),  r_k = L_k' / L_k''.

    L_k' and L_k'' are the mean losses of the last epoch and of the one before it, over
    the batches with labels of task k. In the first two epochs, or without such
    batches, r_k is 1.

    Args:
        temperature: Above 0; the larger, the more alike are the weights.

    Reference: Liu et al., CVPR 2019, section 3.3, equation 7.
    """
    checks.at_least(1e-6, "weighting", temperature=temperature)

    def init(num_tasks):
        zero = jnp.zeros(num_tasks, jnp.float32)
        names = ("sum", "count", "last", "before")
        return (), {"epoch": jnp.int32(0)} | dict.fromkeys(names, zero)

    def combine(params, memory, losses, now):
        memory = jax.lax.cond(
            now.epoch > memory["epoch"], turned, lambda memory, _: memory, memory, now
        )
        known = (memory["last"] > 0) & (memory["before"] > 0)
        before = jnp.where(known, memory["before"], 1)
        ratio = jnp.where(known, memory["last"] / before, 1)
        weights = len(losses) * jax.nn.softmax(ratio / temperature)
        memory = memory | {
            "sum": memory["sum"] + jax.lax.stop_gradient(losses),
            "count": memory["count"] + now.seen,
        }
        return jnp.sum(weights * losses), memory

    return Weighting(init, combine)


def turned(memory, now):
    """The memory at the start of an epoch."""
    zero = jnp.zeros_like(memory["sum"])
    mean = memory["sum"] / jnp.maximum(memory["count"], 1)
    return {
        "epoch": now.epoch,
        "sum": zero,
        "count": zero,
        "last": mean,
        "before": memory["last"],
    }
