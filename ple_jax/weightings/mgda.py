"""The shortest convex combination of the tasks' gradients."""

from typing import Literal

import jax.numpy as jnp

from ple_jax import checks
from ple_jax.weightings import Weighting, gram

Scale = Literal["none", "norm", "loss", "both"]
SWEEPS = 40


def build(scale: Scale = "none", tables: bool = True) -> Weighting:
    """d = sum_k w_k g_k with the w that makes ||d|| the least, w_k >= 0, sum_k w_k = 1.

    Unless d is 0, a step along -d lowers all tasks' losses. At T = 2, w is known in
    closed form; otherwise from minimisation over pairs of tasks, whose ||d||^2 is
    within 1e-3 of the least, relative to the mean ||g_k||^2.

    Args:
        scale: What each gradient is divided by before: nothing, its norm, its task's
            loss, or both.
        tables: Whether rows of tables are among the shared parameters; if not, they
            move by the plain sum of the gradients.

    Reference: Sener and Koltun, NeurIPS 2018, section 3.2, equation 3 and algorithm 2;
        `scale` is an option of the authors' code.
    Differs from the paper: steps between pairs of tasks, for Frank-Wolfe's.
    """
    checks.choice(Scale, scale=scale)

    def weigh(memory, losses, matrix, now):
        live = gram.live_tasks(matrix, now.seen)
        matrix = gram.only(matrix, live)
        by = jnp.ones_like(losses)
        if scale in ("norm", "both"):
            by = by * gram.norms(matrix)
        if scale in ("loss", "both"):
            by = by * jnp.where(live & (losses > 0), losses, 1)
        weights = shortest(matrix / (by[:, None] * by[None]), live)
        return weights / by, memory

    return Weighting(lambda num_tasks: ((), ()), weigh=weigh, tables=tables)


def shortest(matrix, live):
    """The weights (T,) of the shortest convex combination, by its Gram matrix."""

    def along(w, direction):
        slope, bend = direction @ matrix @ w, direction @ matrix @ direction
        return -slope / jnp.maximum(bend, gram.TINY)

    return gram.on_simplex(along, live, gram.sweeps_over(len(live), SWEEPS))
