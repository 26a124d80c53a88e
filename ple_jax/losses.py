"""Losses: logits and labels to one number per task.

Each loss is elementwise, and finite, as its slope is, at any logit up to 1e18.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.layout import Scale
from ple_jax.tasks import Task
from ple_jax.types import Array

STEEPEST = 30.0  # logit of a logarithm from which on its exponential is a line


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


def focal(logits: jax.Array, labels: Array | float, gamma: float) -> jax.Array:
    """-y s(-z)^g log s(z) - (1 - y) s(z)^g log s(-z), elementwise.

    Cross-entropy if g = `gamma` is 0. Reference: Lin et al., ICCV 2017, equation 4.
    """
    one, zero = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    positive, negative = jnp.exp(gamma * zero) * one, jnp.exp(gamma * one) * zero
    return -(positive * labels + negative * (1 - labels))


def squared_error(logits: jax.Array, labels: Array) -> jax.Array:
    """(z - y)^2, elementwise: the logit itself is the prediction."""
    return jnp.square(logits - labels)


def huber(logits: jax.Array, labels: Array, delta: float) -> jax.Array:
    """e^2 / 2 if |e| <= delta, else delta (|e| - delta / 2), e = z - y, elementwise.

    Reference: Huber, Annals of Mathematical Statistics 1964.
    """
    size = jnp.abs(logits - labels)
    near = jnp.minimum(size, delta)
    return near * (size - near / 2)


def pinball(logits: jax.Array, labels: Array, quantile: float) -> jax.Array:
    """max(q (y - z), (q - 1) (y - z)), elementwise: least at the q-quantile of y.

    Its slope at z = y is 1/2 - q, the middle of those on both sides.

    Reference: Koenker and Bassett, Econometrica 1978.
    """
    short = labels - logits
    return jnp.maximum(quantile * short, (quantile - 1) * short)


def poisson(logits: jax.Array, labels: Array) -> jax.Array:
    """e^z - y z, elementwise: -log of the chance of y, without what no logit moves.

    From z = 30 on, e^z goes on as a line: e^30 (z - 29).
    """
    near = jnp.minimum(logits, STEEPEST)
    return jnp.exp(near) * (1 + (logits - near)) - labels * logits


def weighted_logistic(logits: jax.Array, labels: Array) -> jax.Array:
    """-y log s(z) if y > 0, -log s(-z) if y = 0, elementwise.

    A logistic regression of whether y > 0, where positives weigh y and negatives 1. Its
    odds e^z are E[y] / P(y = 0), which is nearly E[y] where positives are rare.

    Reference: Covington et al., RecSys 2016, section 4.2 (watch time of YouTube).
    """
    one, zero = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return -(one * labels + jnp.where(labels > 0, 0, zero))


def ordinal(
    logits: jax.Array,  # (...)
    labels: Array,  # (...), each one of the levels
    levels: Sequence[float],  # (K,), ascending
    thresholds: Sequence[float],  # (K - 1,), ascending
) -> jax.Array:
    """-log P(y), elementwise, by proportional odds: P(y > level k) = s(z - c_k).

        -log(s(z - c_lower) - s(z - c_upper))
            = -log s(z - c_lower) - log s(c_upper - z) - log(1 - e^(c_lower - c_upper))

    where c_lower and c_upper are on both sides of the label's level; the lowest has no
    lower and the highest no upper one, nor their terms.

    Reference: McCullagh, Journal of the Royal Statistical Society B 1980, section 2.
    Differs from the paper: thresholds are fixed, not learned. With those of `Scale` a
        logit of 0 predicts the shares of levels in train.
    """
    cuts, edges = np.asarray(thresholds, np.float64), np.asarray(levels, np.float64)
    constants = np.array([0, *np.log(-np.expm1(cuts[:-1] - cuts[1:])), 0])
    level = jnp.searchsorted(jnp.asarray((edges[1:] + edges[:-1]) / 2), labels)
    of = lambda table: jnp.asarray(table, logits.dtype)[level]
    over = jax.nn.log_sigmoid(logits - of([0, *cuts]))
    under = jax.nn.log_sigmoid(of([*cuts, 0]) - logits)
    chances = jnp.where(level > 0, over, 0) + jnp.where(level < len(cuts), under, 0)
    return -(chances + of(constants))


def example_losses(
    logits: jax.Array,  # (B, T)
    labels: Array,  # (B, T), as `Layout.standardised` gives them
    tasks: Sequence[Task],
    scales: Sequence[Scale] = (),  # (T,)
) -> jax.Array:  # (B, T)
    """Each example's loss, by each task's own loss function."""
    if any(task.loss not in ("binary", "squared") or _retold(task) for task in tasks):
        scales = scales or (Scale(),) * len(tasks)
        columns = zip(logits.T, jnp.asarray(labels).T, tasks, scales, strict=True)
        return jnp.stack([_of_task(*column) for column in columns], axis=-1)
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


def _retold(task: Task) -> bool:
    """Whether a task's labels are smoothed, or positives weigh more than negatives."""
    return task.smoothing is not None or task.positive_weight is not None


def _of_task(z: jax.Array, y: jax.Array, task: Task, scale: Scale) -> jax.Array:  # (B,)
    if task.is_binary:
        return _of_binary(z, y, task)
    if task.loss == "huber":
        return huber(z, y, task.option("delta") / scale.deviation)
    if task.loss == "quantile":
        return pinball(z, y, task.option("quantile"))
    if task.loss == "ordinal":
        return ordinal(z, y, task.levels, scale.thresholds)
    plain = {
        "squared": squared_error,
        "poisson": poisson,
        "weighted_logistic": weighted_logistic,
    }
    return plain[task.loss](z, y)


def _of_binary(z: jax.Array, y: jax.Array, task: Task) -> jax.Array:  # (B,)
    """Positives weighted, the rest of a label that is smoothed being a negative."""
    soft = y + task.option("smoothing") * (0.5 - y)
    gamma = task.option("gamma") if task.loss == "focal" else 0.0
    one, zero = focal(z, 1.0, gamma), focal(z, 0.0, gamma)
    return task.option("positive_weight") * soft * one + (1 - soft) * zero


def task_losses(
    logits: jax.Array,  # (B, T)
    labels: Array,  # (B, T), as `Layout.standardised` gives them
    observed: Array,  # (B, T) bool, whether the example is in the task's sample space
    weights: Array,  # (B,), one per example
    tasks: Sequence[Task],
    totals: Array | None = None,  # (T,)
    scales: Sequence[Scale] = (),  # (T,)
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
    values = example_losses(logits, labels, tasks, scales)
    return (share * values).sum(axis=0) / jnp.where(totals > 0, totals, 1)


def sample_weights(
    observed: Array,  # (B, T) bool
    weights: Array,  # (B,)
) -> jax.Array:  # (T,)
    """n_k = sum_i d_ki w_i: the weight of each task's sample space in a batch."""
    return jnp.asarray((observed * weights[:, None]).sum(axis=0))
