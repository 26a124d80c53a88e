"""Several trials as one program, side by side along a leading axis R.

They differ in their seeds and in traced knobs: knobs whose values are arguments.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ple_jax import config
from ple_jax.config.experiment import Experiment
from ple_jax.config.sweep import SEED
from ple_jax.layout import Layout
from ple_jax.parallel.mesh import state_shardings
from ple_jax.train.state import TrainState, jit_init
from ple_jax.train.step import Step
from ple_jax.train.trainer import NONE, Trainer, step_of
from ple_jax.types import Batch, Picks, PyTree

Values = Mapping[str, Any]  # dotted path -> arrays (R,), or tuples of them


class Where(NamedTuple):
    """What decides where the arrays of a state lie."""

    mesh: Mesh
    replicated: frozenset[str] = frozenset()  # fused tables that each device has whole


def values_of(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """The arguments of the program: seeds, and the knobs that differ."""
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
    # `jax.random.key` wraps integers of any size in the same way.
    seeds = [e.train.seed % 2**32 for e in experiments]
    return {SEED: np.array(seeds, np.uint32)} | numbers


def as_tuple(value: Any) -> Any:
    """A knob's value out of JSON, which has lists for its tuples."""
    return tuple(value) if isinstance(value, list) else value


def trainer_of(
    experiments: Sequence[Experiment],
    layout: Layout,
    steps_per_epoch: int = 1,
    shared: bool = False,
    mesh: Mesh | None = None,
    exchanged: Mapping[str, float] = NONE,
) -> Trainer:
    """The pure functions of all trials: each array of a state has a leading axis R.

    Batches of `steps` have leading axes (steps, R, B), or (steps, B) if they are
    `shared`; `score` takes one batch for all and gives logits (B, R, T).
    """

    def step(values: Values) -> Step:
        trial = config.with_values(experiments[0], values)
        return step_of(trial, layout, steps_per_epoch, mesh, exchanged)

    def init(values: Values) -> TrainState:
        return jax.vmap(lambda one: step(one).init())(values)

    def steps(values: Values, state: TrainState, batches: Batch | Picks, count: int):
        one = lambda values, state, own: step(values).steps(state, own, count)
        return jax.vmap(one, (0, 0, axes_of(batches, shared)))(values, state, batches)

    @jax.jit
    def watch(values: Values, variables: PyTree, batch: Batch):
        one = lambda values, variables: step(values).score(variables, batch)
        return jax.vmap(one, out_axes=(1, 0))(values, variables)

    values = values_of(experiments)
    first = step_of(experiments[0], layout, steps_per_epoch, mesh, exchanged)
    rows = first.rows
    if rows.by_cores:
        raise ValueError(
            "inputs.exchange = 'sparsecore' trains one trial at a time: leave it out, "
            "or train trials one after another."
        )
    return Trainer(
        partial(jit_init(init, first.tables), values),
        lambda places: jit_init(init, first.tables, places)(values),
        partial(jax.eval_shape, init, values),
        partial(jax.jit(steps, donate_argnums=1), values),
        lambda variables, batch: watch(values, variables, batch)[0],
        partial(watch, values),
        rows.prepare_on_host,
        rows.finds_on_host,
        first.tables.replicated,
    )


def axes_of(batches: Batch | Picks, shared: bool) -> Any:
    """Where batches have the axis of trials; a split on the device has none."""
    of_trials: Any = None if shared else 1
    if not isinstance(batches, Picks):
        return of_trials
    return batches.replace(split=None, rows=of_trials)


@partial(jax.jit, static_argnums=2)
def trial(tree: PyTree, i: int, where: Where) -> PyTree:
    """Trial `i` of a tree, placed as the state of a lone run is."""
    return placed(jax.tree.map(lambda leaf: leaf[i], tree), where, vmapped=False)


@partial(jax.jit, donate_argnums=0, static_argnums=3)
def with_trial(tree: PyTree, i: int, new: PyTree, where: Where) -> PyTree:
    """The tree with `new` as its trial `i`."""
    whole = jax.tree.map(lambda leaf, one: leaf.at[i].set(one), tree, new)
    return placed(whole, where)


@partial(jax.jit, static_argnums=1)
def side_by_side(each: Sequence[PyTree], where: Where) -> PyTree:
    """The trees of lone runs as one of trials, placed as its state is."""
    return placed(jax.tree.map(lambda *leaves: jnp.stack(leaves), *each), where)


def placed(tree: PyTree, where: Where, vmapped: bool = True) -> PyTree:
    """The tree, laid where the state of trials lies, or that of a lone run."""
    places = state_shardings(where.mesh, tree, vmapped, where.replicated)
    return jax.lax.with_sharding_constraint(tree, places)
