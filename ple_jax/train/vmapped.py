"""Several runs as one program: replicas of a run, side by side along a leading axis R.

They differ in their seeds, and in knobs whose values the program takes as arguments.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax import config
from ple_jax.config.experiment import Experiment
from ple_jax.config.sweep import SEED
from ple_jax.schema import Layout
from ple_jax.train.state import TrainState
from ple_jax.train.step import Parts, Trainer, parts_of
from ple_jax.types import Batch, Picks, PyTree

Values = Mapping[str, Any]  # dotted path -> arrays (R,), or tuples of them


def values_of(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """What the program takes as arguments: seeds, and the knobs that differ."""
    flat = [config.flat(e) for e in experiments]
    differ = [k for k in flat[0] if any(f[k] != flat[0][k] for f in flat)]
    numbers = {
        path: jax.tree.map(
            lambda *each: np.array(each, np.float32),
            *(as_tuple(f[path]) for f in flat),
        )
        for path in differ
        if path != SEED
    }
    # As `jax.random.key` takes plain integers, of any size.
    seeds = [e.train.seed % 2**32 for e in experiments]
    return {SEED: np.array(seeds, np.uint32)} | numbers


def as_tuple(value: Any) -> Any:
    """Lists, which are what JSON has, as the tuples that knobs are."""
    return tuple(value) if isinstance(value, list) else value


def trainer_of(
    experiments: Sequence[Experiment],
    layout: Layout,
    steps_per_epoch: int = 1,
    shared: bool = False,
) -> Trainer:
    """The pure functions of all replicas: each leaf of a state has a leading axis R.

    Batches of `steps` have leading axes (steps, R, B), or none of R where they are
    `shared`; `score` takes one batch for all and gives logits (B, R, T).
    """

    def parts(values: Values) -> Parts:
        replica = config.with_values(experiments[0], values)
        return parts_of(replica, layout, steps_per_epoch)

    def init(values: Values) -> TrainState:
        return jax.vmap(lambda one: parts(one).init())(values)

    def steps(values: Values, state: TrainState, batches: Batch | Picks, count: int):
        one = lambda values, state, own: parts(values).steps(state, own, count)
        return jax.vmap(one, (0, 0, axes_of(batches, shared)))(values, state, batches)

    def score(values: Values, variables: PyTree, batch: Batch) -> jax.Array:
        one = lambda values, variables: parts(values).score(variables, batch)
        return jax.vmap(one, out_axes=1)(values, variables)

    values = values_of(experiments)
    rows = parts_of(experiments[0], layout, steps_per_epoch).rows
    return Trainer(
        partial(jax.jit(init), values),
        partial(jax.jit(steps, donate_argnums=1), values),
        partial(jax.jit(score), values),
        rows.prepare_on_host,
        rows.finds_on_host,
    )


def axes_of(batches: Batch | Picks, shared: bool) -> Any:
    """Where batches have the axis of replicas; a split on the device has none."""
    of_replicas: Any = None if shared else 1
    if not isinstance(batches, Picks):
        return of_replicas
    return batches.replace(split=None, rows=of_replicas)


@jax.jit
@jax.vmap
def finite(trained: PyTree) -> jax.Array:  # (R,) bool
    """Whether all numbers of a replica are finite."""
    leaves = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(trained)]
    return jnp.stack(leaves).all()


@partial(jax.jit, donate_argnums=2)
@jax.vmap
def selected(chosen: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """Each replica's `new` where it is chosen, otherwise its `old`."""
    return jax.tree.map(partial(jnp.where, chosen), new, old)
