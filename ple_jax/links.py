"""From logits to predictions, and to the chance of a task and all that it is given."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.layout import Layout, Scale
from ple_jax.tasks import Task
from ple_jax.types import Array

LARGEST = 30.0  # logit whose exponential is still told apart from those beyond


def predicted(logits: jax.Array, layout: Layout) -> jax.Array:  # (B, T) -> (B, T)
    """What logits in training say: logits of probabilities, or numbers in their units.

    binary, focal               the logit of P(1): see `corrected`
    squared, huber, quantile    mean + deviation z
    poisson, weighted_logistic  mean e^z, |z| at most 30
    ordinal                     sum_k level_k P(level_k)
    """
    linear = jnp.asarray(layout.in_units(logits))
    if not any(map(_is_curved, layout.tasks)):
        return linear
    triples = zip(linear.T, logits.T, layout.tasks, layout.scales_of_tasks, strict=True)
    columns = [
        _curved(z, task, scale) if _is_curved(task) else unit
        for unit, z, task, scale in triples
    ]
    return jnp.stack(columns, axis=-1)


def _is_curved(task: Task) -> bool:
    """Whether a prediction is not linear in the logit, with the scale's numbers."""
    plain = task.loss != "focal" and task.positive_weight is None
    return task.kind.link in ("log", "levels") or not plain


def _curved(z: jax.Array, task: Task, scale: Scale) -> jax.Array:  # (B,) -> (B,)
    if task.is_binary:
        return corrected(z, task)
    if task.kind.link == "log":
        return scale.deviation * jnp.exp(jnp.clip(z, -LARGEST, LARGEST))
    steps = np.diff(task.levels).astype(np.float32)
    above = jax.nn.sigmoid(z[:, None] - np.array([scale.thresholds], np.float32))
    return task.levels[0] + above @ steps


def corrected(z: jax.Array, task: Task) -> jax.Array:
    """The logit of P(y = 1) where z is the logit that a binary task's loss aims at.

        weight w    z - log w
        focal       (g - 1) z + log(e^z + g log(1 + e^z)) - log(e^-z + g log(1 + e^-z))

    The second is the chance for which the expected loss is least at z; it rises with z.
    Smoothing is not corrected: its predictions stay nearer to 1/2.

    Reference: Charoenphakdee et al., CVPR 2021 (of the focal loss, in probabilities).
    """
    g = task.option("gamma") if task.loss == "focal" else 0.0
    if g:
        one = jnp.logaddexp(z, np.log(g) + _log_softplus(z))
        zero = jnp.logaddexp(-z, np.log(g) + _log_softplus(-z))
        z = (g - 1) * z + one - zero
    return z - np.float32(np.log(task.option("positive_weight")))


def _log_softplus(x: jax.Array) -> jax.Array:
    """log log(1 + e^x), which is x within 1e-7 from -16 down."""
    return jnp.where(x < -16, x, jnp.log(jax.nn.softplus(jnp.maximum(x, -16))))


def both(a: Array, b: Array) -> Array:
    """The logit of s(a) s(b), elementwise, at any logits: -log(e^-a + e^-b + e^(-a-b)).

    Reference: Ma et al., SIGIR 2018, equation 1 (ESMM), in logits.

    Example:
        >>> import numpy as np
        >>> print(both(np.array([0.0, 200.0]), np.array([0.0, -3.0])))
        [-1.09861229 -3.        ]
    """
    xp = _namespace(a)
    return -xp.logaddexp(xp.logaddexp(-a, -b), -a - b)


class Aims(NamedTuple):
    """What losses or metrics are computed of: arrays of JAX or of NumPy."""

    logits: Any  # (B, T)
    labels: Any  # (B, T)
    observed: Any  # (B, T) bool


def entire_space(
    logits: Array,  # (B, T)
    labels: Array,  # (B, T)
    observed: Array,  # (B, T) bool
    tasks: Sequence[Task],
    is_learned: bool = True,
) -> Aims:
    """The same, but for tasks with `entire_space` of the chance of all in their chain.

        z_t' = both(z_given', z_t),   y_t' = y_given' y_t

    A label y_t' is observed if y_t is, or if y_given' is observed and 0: on all
    examples, unless a label is missing. Nothing changes without such tasks.

    Args:
        logits: Of each task in its own sample space.
        labels: 0 where not observed.
        observed: Whether each label is, in the task's own sample space.
        tasks: In the order of the axis T.
        is_learned: Whether logits are those of training: see `corrected`.
    """
    if not any(task.entire_space for task in tasks):
        return Aims(logits, labels, observed)
    xp, names = _namespace(logits), [task.name for task in tasks]
    own = [Aims(*each) for each in zip(logits.T, labels.T, observed.T, strict=True)]
    joint: list[Aims] = []
    for task, (z, y, seen) in zip(tasks, own, strict=True):
        if is_learned and _is_curved(task) and task.is_binary:
            z = corrected(jnp.asarray(z), task)
        if task.given is not None and task.is_binary:
            above = joint[names.index(task.given)]
            seen = seen | (above.observed & (above.labels == 0))
            z, y = both(above.logits, z), above.labels * y
        joint.append(Aims(z, y, seen))
    pairs = zip(tasks, own, joint, strict=True)
    chosen = [whole if task.entire_space else alone for task, alone, whole in pairs]
    return Aims(*(xp.stack(of, axis=-1) for of in zip(*chosen, strict=True)))


def _namespace(x: Array) -> ModuleType:
    return jnp if isinstance(x, jax.Array) else np
