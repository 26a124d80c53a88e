"""The optimizer of all that is trained densely, as a chain of Optax parts."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ple_jax.checks import check_known, is_off
from ple_jax.config.experiment import Train
from ple_jax.types import PyTree


def make_optimizer(
    train: Train, total_steps: int, rates: Mapping[str, float] = MappingProxyType({})
) -> optax.GradientTransformation:
    """The update rule, decoupled weight decay, then the learning rate.

    Args:
        train: Which, and how much.
        total_steps: For the schedule.
        rates: Multipliers of the learning rate by the name of a parameter, which is
            not that of a table that is updated by rows.
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
    others = {name: rate for name, rate in rates.items() if rate != 1}
    if train.only or others:
        parts.append(scale_by_name(train.only, others))
    return optax.chain(*parts)


def scale_by_name(
    only: Sequence[str], rates: Mapping[str, float]
) -> optax.GradientTransformation:
    """Updates times their parameter's rate; none for paths without a name of `only`.

    Raises, when started, a ValueError for a rate of what is not there: tables that are
    updated by rows are not.
    """

    def init(trained):
        known = {names_of(path)[-1] for path, _ in jax.tree.leaves_with_path(trained)}
        for name in rates:
            check_known(name, sorted(known), "parameter of a rate of its own")
        return optax.EmptyState()

    def scale(path, update):
        names = names_of(path)
        if not is_moved(names, only):
            return jnp.zeros_like(update)
        return update * rates.get(names[-1], 1.0)

    def update(updates, state, params=None):
        return jax.tree_util.tree_map_with_path(scale, updates), state

    return optax.GradientTransformation(init, update)


def check_only(only: Sequence[str], trained: PyTree) -> None:
    """Raises a ValueError for a name of `train.only` that no parameter's path holds."""
    paths = [path for path, _ in jax.tree.leaves_with_path(trained)]
    known = sorted({name for path in paths for name in names_of(path)})
    for name in only:
        check_known(name, known, "name in a parameter's path (train.only)")


def clipped(grads: PyTree, norm: float, only: Sequence[str] = ()) -> PyTree:
    """Scaled down where the global norm of what is trained is above.

    Tables updated by rows are in that norm; what `only` leaves alone is not, and keeps
    its gradient. That of a frozen table is zero.
    """
    if is_off(norm):
        return grads
    moved = lambda path, _: is_moved(names_of(path), only)
    mask = jax.tree_util.tree_map_with_path(moved, grads)
    clip = optax.masked(optax.clip_by_global_norm(norm), mask)
    return clip.update(grads, clip.init(grads))[0]


def is_moved(names: Sequence[str], only: Sequence[str]) -> bool:
    """Whether `train.only` lets a parameter with these names in its path be trained."""
    return not only or not set(only).isdisjoint(names)


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
