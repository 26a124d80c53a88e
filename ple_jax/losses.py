"""Losses: logits and labels to one number per task."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.schema import Task
from ple_jax.types import Array


def binary_cross_entropy(logits: jax.Array, labels: Array) -> jax.Array:
    """-y log s(z) - (1 - y) log s(-z), elementwise, s the logistic function.

    Never overflows, keeps small losses such as -log s(30), and has slope 1/2 - y at 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(binary_cross_entropy(jnp.array([0.0, 200.0]), jnp.array([1.0, 0.0])))
        [  0.6931472 200.       ]
    """
    one, zero = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return -(one * labels + zero * (1 - labels))


def squared_error(logits: jax.Array, labels: Array) -> jax.Array:
    """(z - y)^2, elementwise: the logit itself is the prediction."""
    return jnp.square(logits - labels)


def example_losses(
    logits: jax.Array,  # (B, T)
    labels: Array,  # (B, T)
    tasks: Sequence[Task],
) -> jax.Array:  # (B, T)
    """Each example's loss, by each task's own loss function."""
    squared = np.array([task.loss == "squared" for task in tasks])
    if not squared.any():
        return binary_cross_entropy(logits, labels)
    if squared.all():
        return squared_error(logits, labels)
    return jnp.where(
        squared[None],
        squared_error(logits, labels),
        binary_cross_entropy(logits, labels),
    )


def task_losses(
    logits: jax.Array,  # (B, T)
    labels: Array,  # (B, T)
    observed: Array,  # (B, T) bool, whether the example is in the task's sample space
    weights: Array,  # (B,), one per example
    tasks: Sequence[Task],
    totals: Array | None = None,  # (T,)
) -> jax.Array:  # (T,)
    """Each task's mean loss over its own sample space; 0 if a batch has none of it.

        L_k = sum_i d_ki w_i loss_k(z_ki, y_ki) / n_k,   n_k = sum_i d_ki w_i

    The sums are over the batch, so that an example weighs more in a batch with few of
    its task. Other `totals` n_k, such as their running mean, weigh all alike.

    Reference: Tang et al., RecSys 2020, section 4.3, equation 9.
    Differs from the paper: examples may have weights w_i; in the paper w_i = 1. It does
        not say whether i runs over a batch or over the train split.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = labels = jnp.zeros((2, 2))
        >>> observed = jnp.array([[True, True], [True, False]])  # the second by one
        >>> tasks = [Task("click"), Task("time", given="click", loss="squared")]
        >>> print(task_losses(logits, labels + 1, observed, jnp.ones(2), tasks))
        [0.6931472 1.       ]
    """
    if totals is None:
        totals = sample_weights(observed, weights)
    share = observed * weights[:, None]
    values = example_losses(logits, labels, tasks)
    return (share * values).sum(axis=0) / jnp.where(totals > 0, totals, 1)


def sample_weights(
    observed: Array,  # (B, T) bool
    weights: Array,  # (B,)
) -> jax.Array:  # (T,)
    """n_k = sum_i d_ki w_i: the weight of each task's sample space in a batch."""
    return jnp.asarray((observed * weights[:, None]).sum(axis=0))
