"""Which parameters tasks share.

An entry of a parameter is private to a task if no other task's logits depend on it: a
tower, or an expert of the last level that one task owns. Experts lie stacked in one
array, so this is a matter of entries. It is read off the model itself: all logits'
slopes are taken once, before training, at a point where none is zero by chance. All
parameters and inputs are positive there, so that every rectifier is open.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.embeddings.tables import Tables
from ple_jax.optim.dense import is_moved
from ple_jax.train.one_domain import OfOneDomain
from ple_jax.train.parts import InParts
from ple_jax.train.state import TrainState
from ple_jax.types import PyTree, path_names

GOLDEN = 0.6180339887498949


def shared_entries(
    model: "nn.Module | InParts | OfOneDomain",
    tables: Tables,
    state: TrainState,
    only: tuple[str, ...] = (),
) -> PyTree:
    """True for entries of what is trained that several tasks' logits read.

    Arrays are as small as broadcasting allows. What `only` does not let move is shared
    by none.

    Args:
        model: The model of the state.
        tables: What it reads.
        state: Says the shapes; may be traced.
        only: `train.only`.
    """
    rows = np.full((1, 1), not tables.inputs.per_task)
    found = {
        "model": _of_model(_plain(model), tables, state),
        "tables": dict.fromkeys(tables.fused, rows),
    }
    moved = lambda path, mask: mask & is_moved(path_names(path), only)
    return jax.tree_util.tree_map_with_path(moved, found) | {
        "weighting": jax.tree.map(lambda _: np.False_, state.trained["weighting"])
    }


def _plain(model: Any) -> Any:
    """The model with numbers for traced options, on whose values nothing depends."""
    if isinstance(model, OfOneDomain):
        return OfOneDomain(_plain(model.model))
    if isinstance(model, InParts):
        return _plain(model.model)
    options = {f.name: getattr(model, f.name, None) for f in dataclasses.fields(model)}
    known = {
        name: _plain(value) if isinstance(value, nn.Module) else 0.5
        for name, value in options.items()
        if name != "parent" and isinstance(value, nn.Module | jax.Array)
    }
    return model.clone(**known)


def _of_model(
    model: "nn.Module | OfOneDomain", tables: Tables, state: TrainState
) -> PyTree:
    """The shared entries of a model's parameters."""
    params, stats = state.trained["model"], state.batch_stats
    num_domains = len(tables.layout.domains)

    def readers():
        x = positive((max(2, num_domains), *tables.input_shape))
        domain = jnp.arange(len(x), dtype=jnp.int32) % num_domains
        rest = {"batch_stats": initial(stats)}
        logits = lambda p: model.apply({"params": p} | rest, x, domain).sum(axis=0)
        slopes = jax.jacrev(logits)(positive_like(params))
        return jax.tree.map(lambda leaf: (leaf != 0).sum(axis=0) > 1, slopes)

    # A compiled program runs at once, even while the step around it is traced.
    found = jax.jit(readers).lower().compile()()
    return jax.tree.map(lambda leaf: smallest(np.asarray(leaf)), found)


def initial(batch_stats: PyTree) -> PyTree:
    """Batch statistics of mean 0 and variance 1."""
    start = lambda path, leaf: jnp.full(
        leaf.shape, float("var" in path_names(path)[-1]), leaf.dtype
    )
    return jax.tree_util.tree_map_with_path(start, batch_stats)


def positive_like(tree: PyTree) -> PyTree:
    """Positive values for parameters, small where many of them add up."""

    def of(leaf):
        inputs = leaf.shape[-2] if leaf.ndim > 1 else 1
        return positive(leaf.shape) / inputs

    return jax.tree.map(of, tree)


def positive(shape: tuple[int, ...]) -> jax.Array:
    """Values between 1/2 and 3/2, no two neighbours of which are alike."""
    count = jnp.arange(1, 1 + int(np.prod(shape)), dtype=jnp.float32)
    return (0.5 + GOLDEN * count % 1).reshape(shape)


def smallest(mask: np.ndarray) -> np.ndarray:
    """The mask without the axes along which it does not change, which have length 1.

    Example:
        >>> smallest(np.array([[True, True, True], [False, False, False]])).tolist()
        [[True], [False]]
    """
    for axis in range(mask.ndim):
        first = mask.take([0], axis)
        mask = first if (mask == first).all() else mask
    return mask
