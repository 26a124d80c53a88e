"""Task weights under which all losses fall at the same rate, without T gradients."""

from typing import Annotated

import jax
import jax.numpy as jnp
import optax

from ple_jax import checks
from ple_jax.space import Between
from ple_jax.weightings import Weighting, softmax

LEAST = 1e-8  # of a loss whose logarithm is taken


def build(
    learning_rate: Annotated[float, Between(1e-3, 0.1, log=True)] = 0.025,
    decay: Annotated[float, Between(1e-4, 0.1, log=True)] = 0.01,
) -> Weighting:
    """L = c sum_k z_k log L_k,  z = softmax(x),  1 / c = sum_k z_k / L_k.

    c, a constant for the gradient, makes of it a convex combination of the tasks'
    gradients. After the step the same batch's losses L_k+ say how x moves, by Adam:

        dx = J^T (log L - log L+) + decay x,  J the derivative of the softmax

    Tasks that the batch has no label of take no part: their z is 0 in this step. Costs
    a forward pass more than fixed weights.

    Args:
        learning_rate: Adam's, for x.
        decay: How fast x returns to 0; the larger, the nearer are the weights.

    Reference: Liu et al., NeurIPS 2023, section 3.2, algorithm 1. Adam and both
        defaults are those of the authors' code. A loss counts as
        1e-8 where it is below.
    """
    checks.at_least(0, "weighting", learning_rate=learning_rate, decay=decay)
    tx = optax.chain(
        optax.add_decayed_weights(decay),
        optax.scale_by_adam(),
        optax.scale_by_learning_rate(learning_rate),
    )

    def init(num_tasks):
        x = jnp.zeros(num_tasks, jnp.float32)
        return (), {"logits": x, "before": x, "adam": tx.init(x)}

    def combine(params, memory, losses, now):
        z = softmax(memory["logits"], now.seen)
        z = jax.lax.stop_gradient(z)
        above = jnp.where(now.seen, jnp.maximum(losses, LEAST), 1)
        c = jax.lax.stop_gradient(1 / jnp.maximum(jnp.sum(z / above), LEAST))
        memory = memory | {"before": jax.lax.stop_gradient(above)}
        return c * jnp.sum(z * jnp.log(above)), memory

    def look_back(memory, losses, now):
        fallen = jnp.log(memory["before"]) - jnp.log(jnp.maximum(losses, LEAST))
        fallen = jnp.where(now.seen, fallen, 0)
        (slope,) = jax.vjp(lambda x: softmax(x, now.seen), memory["logits"])[1](fallen)
        updates, adam = tx.update(slope, memory["adam"], memory["logits"])
        moved = optax.apply_updates(memory["logits"], updates)
        return memory | {"logits": moved, "adam": adam}

    return Weighting(init, combine, look_back=look_back)
