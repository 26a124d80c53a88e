"""The gradients of auxiliary tasks, brought near the length of a target task's."""

from typing import Annotated, Literal

import jax.numpy as jnp

from ple_jax import checks
from ple_jax.space import Between
from ple_jax.weightings import Weighting, gram

Strategy = Literal["both", "shorten", "lengthen"]


def build(
    target: int = 0,
    relax: Annotated[float, Between(0.0, 1.0)] = 0.7,
    beta: Annotated[float, Between(0.0, 0.99)] = 0.9,
    strategy: Strategy = "both",
    tables: bool = True,
) -> Weighting:
    """d = sum_k w_k g_k,  w_k = relax m_target / m_k + 1 - relax, for each array alone.

        m_k <- beta m_k + (1 - beta) ||g_k||

    The target's own w is 1. A task that the batch has no label of keeps its m.

    Args:
        target: The number of the target task, from 0, in the order of the schema.
        relax: How near the lengths get, in [0, 1]: 0 changes nothing, 1 makes them
            equal.
        beta: How slowly the lengths m are averaged, in [0, 1).
        strategy: Which gradients change: longer ones than the target's ("shorten"),
            shorter ones ("lengthen"), or both.
        tables: Whether rows of tables are among the shared parameters; if not, they
            move by the plain sum of the gradients.

    Reference: He et al., WWW 2022 (MetaBalance), section 3, algorithm 1.
    """
    checks.at_least(0, "weighting", target=target, relax=relax)
    checks.at_most(1, relax=relax)
    checks.rate("weighting", beta=beta)
    checks.choice(Strategy, strategy=strategy)

    def init(num_tasks):
        if target >= num_tasks:
            raise ValueError(
                f"weighting.target must be below the number of tasks, "
                f"{num_tasks}, got {target}."
            )
        return (), jnp.zeros(num_tasks, jnp.float32)

    def weigh(memory, losses, matrix, now):
        live = gram.live_tasks(matrix, now.seen)
        length = jnp.sqrt(jnp.maximum(jnp.diagonal(matrix), 0))
        moved = jnp.where(live, beta * memory + (1 - beta) * length, memory)
        known = (moved > 0) & (moved[target] > 0)
        ratio = jnp.where(known, moved[target] / jnp.where(known, moved, 1), 1)
        if strategy == "shorten":
            ratio = jnp.minimum(ratio, 1)
        if strategy == "lengthen":
            ratio = jnp.maximum(ratio, 1)
        return relax * ratio + 1 - relax, moved

    return Weighting(init, weigh=weigh, tables=tables, by_array=True)
