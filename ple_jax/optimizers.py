"""The optimizer of all that is trained densely, as a chain of Optax parts."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ple_jax.config import Train
from ple_jax.registry import check_known
from ple_jax.traced import is_off
from ple_jax.types import PyTree


def make_optimizer(
    train: Train, total_steps: int, rates: Mapping[str, float] = MappingProxyType({})
) -> optax.GradientTransformation:
    """The update rule, decoupled weight decay, then the learning rate.

    Args:
        train: Which, and how much.
        total_steps: For the schedule.
        rates: Multipliers of the learning rate by the name of a parameter.
    """
    rule = {
        "adam": optax.scale_by_adam,
        "adagrad": optax.scale_by_rss,
        "sgd": optax.identity,
    }[train.optimizer]()
    parts = [rule]
    if not is_off(train.weight_decay):
        parts.append(optax.add_decayed_weights(train.weight_decay, is_decayed))
    parts.append(optax.scale_by_learning_rate(learning_rate(train, total_steps)))
    if train.only or any(rate != 1 for rate in rates.values()):
        parts.append(scale_by_name(train.only, rates))
    return optax.chain(*parts)


def scale_by_name(
    only: Sequence[str], rates: Mapping[str, float]
) -> optax.GradientTransformation:
    """Updates times their parameter's rate; none for paths without a name of `only`."""

    def scale(path, update):
        names = names_of(path)
        if only and set(only).isdisjoint(names):
            return jnp.zeros_like(update)
        return update * rates.get(names[-1], 1.0)

    return optax.stateless(
        lambda updates, _: jax.tree_util.tree_map_with_path(scale, updates)
    )


def check_only(only: Sequence[str], trained: PyTree) -> None:
    """Raises a ValueError for a name of `train.only` that no parameter's path holds."""
    paths = [path for path, _ in jax.tree.leaves_with_path(trained)]
    known = sorted({name for path in paths for name in names_of(path)})
    for name in only:
        check_known(name, known, "name in a parameter's path (train.only)")


def clipped(grads: PyTree, norm: float) -> PyTree:
    """Scaled down where the global norm, tables updated by rows included, is above."""
    if is_off(norm):
        return grads
    return optax.clip_by_global_norm(norm).update(grads, optax.EmptyState())[0]


def is_decayed(trained: PyTree) -> PyTree:
    """Kernels and tables decay; biases, normalisations and weightings do not."""

    def decays(path, _):
        names = names_of(path)
        return names[0] == "tables" or "kernel" in names[-1]

    return jax.tree_util.tree_map_with_path(decays, trained)


def names_of(path: Sequence[Any]) -> list[str]:
    """The names on the way to a parameter."""
    return [str(getattr(key, "key", key)) for key in path]


def learning_rate(train: Train, total_steps: int) -> optax.Schedule:
    """Linear warm-up to the highest rate, then constant, cosine or linear."""
    peak, rest = train.learning_rate, max(1, total_steps - train.warmup_steps)
    after = {
        "constant": optax.constant_schedule(peak),
        "cosine": optax.cosine_decay_schedule(peak, rest, train.final_rate),
        "linear": optax.linear_schedule(peak, peak * train.final_rate, rest),
    }[train.schedule]
    if not train.warmup_steps:
        return after
    climb = optax.linear_schedule(0.0, peak, train.warmup_steps)
    return optax.join_schedules([climb, after], [train.warmup_steps])
