"""The train state: all that a step may change, and what scoring reads of it."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.checks import is_off
from ple_jax.embeddings.tables import Tables
from ple_jax.metrics import streaming
from ple_jax.train.one_domain import OfOneDomain
from ple_jax.train.parts import InParts
from ple_jax.types import PyTree

LARGE = 2**26  # numbers of tables that take as long to draw as to optimize for


class TrainState(flax.struct.PyTreeNode):
    """All that a step may change: arrays only, so it checkpoints as it is."""

    step: jax.Array  # () int32, steps taken
    trained: PyTree  # {"model", "tables", "weighting"}: what the optimizer moves
    average: PyTree  # moving average of the model and tables; () when off
    batch_stats: PyTree  # of the model's normalisations
    opt_state: PyTree  # Optax's, for all that is dense
    row_state: PyTree  # table -> state of its row rule, if it is updated by rows
    memory: PyTree  # the weighting's
    totals: PyTree  # (T,) mean weight of each task in a batch; () if unused
    stream: streaming.Stream  # metrics of the epoch so far
    seed: jax.Array  # key data; folded with `step`, it is each step's key


def init_variables(
    model: nn.Module | InParts | OfOneDomain,
    tables: Tables,
    model_key: jax.Array,
    table_key: jax.Array,
) -> dict[str, PyTree]:
    """Initial model parameters, batch statistics and tables."""
    x = jnp.zeros((2, *tables.input_shape), jnp.float32)
    domain = jnp.zeros((2,), jnp.int32)
    variables = model.init(model_key, x, domain)
    return {
        "model": variables["params"],
        "batch_stats": variables.get("batch_stats", {}),
        "tables": tables.init(table_key),
    }


def jit_init(
    init: Callable[..., TrainState], tables: Tables, places: PyTree = None
) -> Callable[..., TrainState]:
    """Jits what makes a state, which runs once: on CPU, XLA optimizes it little.

    It then compiles in half the time and gives the same bits, but takes 1.7 times as
    long to draw tables: large ones are drawn by a program that is optimized.

    Args:
        init: What makes a state.
        tables: Its tables.
        places: Where each array is made; so no device holds a table that others share.
    """
    least = jax.config.read("jax_disable_most_optimizations")
    if least or jax.default_backend() != "cpu" or tables.numbers > LARGE:
        return jax.jit(init, out_shardings=places)
    options = {"xla_backend_optimization_level": 1}
    return jax.jit(init, out_shardings=places, compiler_options=options)


def variables_of(state: TrainState) -> dict[str, PyTree]:
    """What scoring needs: the averaged parameters if there are any."""
    chosen = state.average or state.trained
    return {
        "model": chosen["model"],
        "tables": chosen["tables"],
        "batch_stats": state.batch_stats,
    }


def steps_taken(state: TrainState) -> int:
    """Steps that a lone run has taken, or each of several trials."""
    return int(np.asarray(state.step).max())  # of NumPy: JAX would compile a program


def training_of(state: TrainState) -> dict[str, PyTree]:
    """All of a state that its variables do not hold, by the name of the field.

    Of what is trained, that is all if the variables are its average. Fields without
    arrays are left out.
    """
    variables = variables_of(state)
    trained = {
        name: leaf
        for name, leaf in state.trained.items()
        if state.average or name not in variables
    }
    rest = {name: getattr(state, name) for name in _rest(state)} | trained
    return {name: leaf for name, leaf in rest.items() if jax.tree.leaves(leaf)}


def state_of(like: TrainState, variables: PyTree, training: PyTree) -> TrainState:
    """The inverse of `variables_of` and `training_of`."""
    trained = (variables if not like.average else {}) | training
    average = {name: variables[name] for name in like.average}
    return like.replace(
        trained={name: trained.get(name, leaf) for name, leaf in like.trained.items()},
        average=average or (),
        batch_stats=variables["batch_stats"],
        **{name: training.get(name, getattr(like, name)) for name in _rest(like)},
    )


def _rest(state: TrainState) -> list[str]:
    """The fields of a state that are saved under their own names."""
    elsewhere = ("trained", "average", "batch_stats")
    return [f.name for f in dataclasses.fields(state) if f.name not in elsewhere]


def moving_average(state: TrainState, trained: PyTree, decay: float) -> PyTree:
    """decay_t average + (1 - decay_t) trained, with decay_t = min(decay, (1+t)/(10+t)).

    The lower decay at the start lets the average forget the initial values. The average
    of what does not move stays the same to the bit.
    """
    if is_off(decay):
        return ()
    t = state.step.astype(jnp.float32)
    keep = jnp.minimum(decay, (1 + t) / (10 + t))
    current = {name: trained[name] for name in state.average}
    # In this form the average of a frozen table is that table, bit for bit.
    return jax.tree.map(lambda a, b: a + (1 - keep) * (b - a), state.average, current)
