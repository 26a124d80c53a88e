"""The optimizer of everything trained densely, as a chain of Optax parts."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import jax
import jax.numpy as jnp
import optax

from ple_jax.checks import check_known, is_off
from ple_jax.config.experiment import Train
from ple_jax.optim.rules import RULES
from ple_jax.types import PyTree, path_names


def make_optimizer(
    train: Train, total_steps: int, rates: Mapping[str, float] = MappingProxyType({})
) -> optax.GradientTransformation:
    """Chains the update rule, decoupled weight decay and the learning rate.

    Args:
        train: Names the rule, and says how much of each.
        total_steps: Length of the learning rate schedule.
        rates: Parameter name -> multiplier of its learning rate. Tables that are
            updated by rows cannot have one.
    """
    make = RULES[train.optimizer].dense
    if make is None:
        raise ValueError(f"train.optimizer = {train.optimizer!r} updates rows only.")
    parts = [make()]
    if not is_off(train.weight_decay):
        parts.append(optax.add_decayed_weights(train.weight_decay, decay_mask))
    parts.append(optax.scale_by_learning_rate(learning_rate(train, total_steps)))
    others = {name: rate for name, rate in rates.items() if rate != 1}
    if train.only or others:
        parts.append(scale_by_name(train.only, others))
    return optax.chain(*parts)


def scale_by_name(
    only: Sequence[str], rates: Mapping[str, float]
) -> optax.GradientTransformation:
    """Multiplies each update by its parameter's rate, or by 0 if `only` excludes it.

    `init` raises a ValueError for a rate whose parameter is not trained densely, such
    as a table that is updated by rows.
    """

    def init(trained):
        known = {path_names(path)[-1] for path, _ in jax.tree.leaves_with_path(trained)}
        for name in rates:
            check_known(name, sorted(known), "parameter of a rate of its own")
        return optax.EmptyState()

    def scale(path, update):
        names = path_names(path)
        if not is_moved(names, only):
            return jnp.zeros_like(update)
        return update * rates.get(names[-1], 1.0)

    def update(updates, state, params=None):
        return jax.tree_util.tree_map_with_path(scale, updates), state

    return optax.GradientTransformation(init, update)


def check_only(only: Sequence[str], trained: PyTree) -> None:
    """Raises a ValueError for a name in `train.only` that no parameter's path has."""
    paths = [path for path, _ in jax.tree.leaves_with_path(trained)]
    known = sorted({name for path in paths for name in path_names(path)})
    for name in only:
        check_known(name, known, "name in a parameter's path (train.only)")


def clip(
    grads: PyTree,
    norm: float,
    only: Sequence[str] = (),
    grams: Mapping[str, Callable[[jax.Array], jax.Array]] = MappingProxyType({}),
) -> PyTree:
    """Scales gradients down so that their global norm is at most `norm`; 0 is off.

        g <- g min(1, norm / ||g||)

    The norm covers what is trained, including tables that are updated by rows. What
    `only` excludes is neither counted nor scaled. Frozen tables have zero gradient.
    Tables of `grams` have their squares by these, of gradients with a leading axis.
    """
    if is_off(norm):
        return grads
    if grams:
        return _clipped(grads, norm, only, grams)
    moved = lambda path, _: is_moved(path_names(path), only)
    mask = jax.tree_util.tree_map_with_path(moved, grads)
    clipping = optax.masked(optax.clip_by_global_norm(norm), mask)
    return clipping.update(grads, clipping.init(grads))[0]


def _clipped(grads, norm, only, grams):
    def square(path, leaf):
        names = path_names(path)
        of_table = names[0] == "tables" and grams.get(names[-1])
        total = of_table(leaf[None])[0, 0] if of_table else jnp.sum(jnp.square(leaf))
        return total * is_moved(names, only)

    squares = jax.tree.leaves(jax.tree_util.tree_map_with_path(square, grads))
    factor = jnp.minimum(1.0, norm / jnp.maximum(jnp.sqrt(sum(squares)), 1e-30))
    scale = lambda path, leaf: (
        leaf * factor if is_moved(path_names(path), only) else leaf
    )
    return jax.tree_util.tree_map_with_path(scale, grads)


def is_moved(names: Sequence[str], only: Sequence[str]) -> bool:
    """Whether `train.only` lets a parameter train whose path has these names."""
    return not only or not set(only).isdisjoint(names)


def decay_mask(trained: PyTree) -> PyTree:
    """True for kernels and tables; False for biases, norms and weightings."""

    def decays(path, _):
        names = path_names(path)
        return names[0] == "tables" or "kernel" in names[-1]

    return jax.tree_util.tree_map_with_path(decays, trained)


def learning_rate(train: Train, total_steps: int) -> optax.Schedule:
    """Linear warm-up to the peak, then constant, or a cosine or linear decay."""
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
