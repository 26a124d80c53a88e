"""Gathers rows of a table, fast, and scatters their gradients."""

import itertools
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from ple_jax.parallel.mesh import DATA, mapped
from ple_jax.types import Array


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def read_fields(
    table: jax.Array,  # (V, W)
    rows: Array,  # (B, S)
    lengths: tuple[int, ...] = (),
    mesh: Mesh | None = None,
) -> jax.Array:  # (B, fields, W)
    """The row of each one-valued field, then the mean row of each bag.

    An empty bag gives zero. No bag is written down whole: a history of 200 items needs
    the memory of one.

    Args:
        table: The table.
        rows: The rows of one-valued fields, which are known to be in range; then those
            of each bag, padded with V.
        lengths: The padded length of each bag. Neighbours of one length are read
            together.
        mesh: Devices that each have a copy of the table, and a slice of the batch: each
            sums the gradient of its slice, and these are summed once.
    """
    fields, bags = _apart(rows, lengths)
    parts = [_gather(table, fields), *(_mean(table, bag) for bag in bags)]
    return jnp.concatenate(parts, axis=1) if bags else parts[0]


def scatter_fields(
    grads: jax.Array, rows: Array, lengths: tuple[int, ...], count: int
) -> jax.Array:  # (B, fields, W), (B, S) -> (V, W), V = count
    """The gradient of the table that `read_fields` read."""
    fields, bags = _apart(rows, lengths)
    start = fields.shape[1]
    total = jnp.zeros((count, grads.shape[-1]), grads.dtype)
    total = total.at[fields].add(grads[:, :start], mode="promise_in_bounds")
    for bag in bags:
        end = start + bag.shape[-1]
        share = grads[:, start:end] / _sizes(bag, count)
        add = lambda places, total, share=share: total.at[places].add(
            jnp.broadcast_to(share, (*places.shape, share.shape[-1])), mode="drop"
        )
        total, start = _fold(add, total, bag, count), end
    return total


def _forward(table, rows, lengths, mesh):
    return read_fields(table, rows, lengths), (table, rows)


def _backward(lengths, mesh, kept, grads):
    table, rows = kept
    of = lambda grads, rows: scatter_fields(grads, rows, lengths, len(table))
    if mesh is None:
        return of(grads, rows), None
    local = lambda grads, rows: jax.lax.psum(of(grads, rows), DATA)
    return mapped(mesh, local, P(DATA), P())(grads, rows), None


read_fields.defvjp(_forward, _backward)


def _gather(table, rows):  # (V, W), (B, F) -> (B, F, W)
    """Gathers rows in range.

    On CPU, XLA fuses a gather with the reshape that follows, and then computes the
    place of each number instead of copying rows, which takes three times as long.
    Concatenating two gathers prevents that.
    """
    halves = 2 if jax.default_backend() == "cpu" and rows.shape[1] > 1 else 1
    parts = jnp.array_split(rows, halves, axis=1)
    read = [table.at[part].get(mode="promise_in_bounds") for part in parts]
    return jnp.concatenate(read, axis=1)


def _apart(rows, lengths):  # (B, S) -> (B, F), (L, B, C) for C bags of each length
    """The rows of one-valued fields, and those of bags by their places in the bag."""
    start, bags = rows.shape[1] - sum(lengths), []
    fields = rows[:, :start]
    for length, same in itertools.groupby(lengths):
        end = start + length * len(list(same))
        block = rows[:, start:end].reshape(len(rows), -1, length)
        bags.append(jnp.moveaxis(block, -1, 0))
        start = end
    return fields, bags


def _mean(table, bag):  # (V, W), (L, B, C) -> (B, C, W)
    read = lambda places: table.at[places].get(mode="fill", fill_value=0)
    add = lambda places, total: total + read(places).sum(axis=0)
    zero = jnp.zeros((*bag.shape[1:], table.shape[1]), table.dtype)
    return _fold(add, zero, bag, len(table)) / _sizes(bag, len(table))


def _sizes(bag, end):  # (L, B, C) -> (B, C, 1)
    """What divides a sum over each bag: its number of items, or 1 if it is empty."""
    return jnp.maximum((bag < end).sum(axis=0), 1)[:, :, None]


def _fold(
    add: Callable[[jax.Array, jax.Array], jax.Array],
    total: jax.Array,
    bag: jax.Array,  # (L, B, C)
    end: int,
) -> jax.Array:
    """Adds the items of bags to a total, by `add(places (n, B, C), total)`.

    On CPU one place after another, as far as the longest bag of the batch goes.
    """
    if jax.default_backend() != "cpu":
        return add(bag, total)
    one = lambda i, total: add(jax.lax.dynamic_slice_in_dim(bag, i, 1), total)
    used = (bag < end).any(axis=(1, 2))
    return jax.lax.fori_loop(0, _last(used), one, total)


@jax.custom_batching.custom_vmap
def _last(used: jax.Array) -> jax.Array:  # (L,) bool -> () int32
    """How many places there are up to the last that is used."""
    return jnp.max(jnp.where(used, jnp.arange(1, len(used) + 1), 0))


@_last.def_vmap
def _last_of_all(size, batched, used):
    """One number for all trials: a loop of several ends would copy its total."""
    return _last(used.any(axis=0)), False
