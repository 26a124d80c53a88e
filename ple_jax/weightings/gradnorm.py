"""Task weights that bring the tasks' gradients to norms by their pace."""

from typing import Annotated

import jax.numpy as jnp

from ple_jax import checks
from ple_jax.space import Between
from ple_jax.weightings import Weighting, gram

LEAST = 1e-3  # of a weight


def build(
    alpha: Annotated[float, Between(0.0, 3.0)] = 1.5,
    learning_rate: Annotated[float, Between(1e-3, 0.1, log=True)] = 0.025,
    tables: bool = True,
) -> Weighting:
    """L = sum_k w_k L_k, w trained to make w_k ||g_k|| = mean_j(w_j ||g_j||) r_k^a.

    r_k is task k's loss in units of its first, over the mean of these of all tasks: the
    slower a task learns, the more it weighs. Each step moves w down the slope of
    sum_k |w_k ||g_k|| - target_k|, the targets held; then w is scaled to add up to T.
    The weights are for all parameters. A task that the batch has no label of rests.

    Args:
        alpha: a: how much slow tasks are pulled; 0 makes all norms equal.
        learning_rate: Of w.
        tables: Whether rows of tables are among the parameters whose gradients are
            measured.

    Reference: Chen et al., ICML 2018, section 3, equations 1 and 2; their alpha and
        rate on NYUv2.
    Differs from the paper: norms are of the gradient of all shared parameters, not of
        the last shared layer; no weight falls below 1e-3.
    """
    checks.at_least(0, "weighting", alpha=alpha, learning_rate=learning_rate)

    def init(num_tasks):
        weights = jnp.ones(num_tasks, jnp.float32)
        return (), {"weights": weights, "first": jnp.zeros_like(weights)}

    def weigh(memory, losses, matrix, now):
        live = gram.live_tasks(matrix, now.seen)
        first = jnp.where(memory["first"] > 0, memory["first"], losses)
        length = jnp.where(live, gram.norms(matrix), 0)
        norm, weights = length * memory["weights"], memory["weights"]
        pace = jnp.where(live & (first > 0), losses / jnp.where(first > 0, first, 1), 0)
        pace = jnp.maximum(pace, 0)
        pace = pace / jnp.maximum(mean(pace, live), gram.TINY)
        slope = length * jnp.sign(norm - mean(norm, live) * pace**alpha)
        moved = jnp.maximum(weights - learning_rate * slope, LEAST)
        moved = moved * len(moved) / moved.sum()
        return weights, {"weights": moved, "first": first}

    return Weighting(init, weigh=weigh, tables=tables, everywhere=True)


def mean(values, live):
    """The mean over live tasks, 0 without any."""
    return jnp.sum(values, where=live) / jnp.maximum(live.sum(), 1)
