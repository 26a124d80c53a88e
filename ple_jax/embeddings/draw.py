"""Draws tables, whole or each device its own rows, to the same bits."""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike

from ple_jax.embeddings.spread import spread
from ple_jax.parallel.mesh import DATA, mapped

BLOCK = 2**18  # rows drawn at a time


def draw_normal(key: jax.Array, rows: int, width: int) -> jax.Array:  # (rows, width)
    """Draws normal values in blocks, since each draw needs three times its size."""
    if rows <= BLOCK:
        return jax.random.normal(key, (rows, width))

    def draw(i, table):
        # `dynamic_update_slice` moves the last block back so that it fits.
        return jax.lax.dynamic_update_slice(
            table, _block(key, i, width), (i * BLOCK, 0)
        )

    return jax.lax.fori_loop(0, -(-rows // BLOCK), draw, jnp.empty((rows, width)))


def _block(key: jax.Array, i: jax.Array | int, width: int) -> jax.Array:
    return jax.random.normal(jax.random.fold_in(key, i), (BLOCK, width))


def draw_split(
    mesh: Mesh, key: jax.Array, rows: int, end: int, width: int, scale: ArrayLike
) -> jax.Array:  # (end, width)
    """`scale` times the same rows, split over devices; zeros from `rows` to `end`.

    Each device draws the blocks that its rows lie in, so that none holds the table. XLA
    merges two constant factors, so `scale` stands where it does on one device: its last
    bits are the same then.
    """
    share = end // mesh.shape[DATA]

    def draw(key):
        first = jax.lax.axis_index(DATA) * share
        place = first + jnp.arange(share)
        if rows <= BLOCK:
            table = scale * jax.random.normal(key, (rows, width))
            own = table.at[place].get(mode="clip")
        else:
            own = scale * _rows_of_blocks(key, first, share, rows, width)
        return jnp.where((place < rows)[:, None], own, 0)

    return mapped(mesh, draw, P(), P(DATA))(key)


def draw_spread(
    mesh: Mesh | None,
    key: jax.Array,
    rows: int,
    end: int,
    width: int,
    scale: ArrayLike,
) -> jax.Array:  # (end, width)
    """`scale` times the same rows, each at its place of `spread`; zeros elsewhere.

    Each of several devices draws all blocks, one at a time, and keeps its own rows.
    """
    devices = 1 if mesh is None else mesh.shape[DATA]
    share, size = end // devices, min(rows, BLOCK)

    def draw(key):
        first = jax.lax.axis_index(DATA) * share if devices > 1 else 0

        def put(start, block, own):
            at = spread(start + jnp.arange(size, dtype=jnp.int32), rows) - first
            at = jnp.where(at < 0, share, at)
            return own.at[at].set(block, mode="drop", unique_indices=True)

        def put_block(i, own):  # the last one moves back
            start = jnp.minimum(i * BLOCK, rows - BLOCK)
            return put(start, _block(key, i, width), own)

        empty = jnp.zeros((share, width))
        if rows <= BLOCK:
            return put(0, scale * jax.random.normal(key, (rows, width)), empty)
        return scale * jax.lax.fori_loop(0, -(-rows // BLOCK), put_block, empty)

    if devices == 1:
        return draw(key)
    assert mesh is not None
    return mapped(mesh, draw, P(), P(DATA))(key)


def _rows_of_blocks(key, first, share, rows, width):  # -> (share, width)
    """Rows `first` to `first + share` of what `draw_normal` draws in blocks."""
    size, last = min(share, BLOCK), -(-rows // BLOCK) - 1

    def draw(i, own):
        start = jnp.minimum(i * BLOCK, rows - BLOCK) - first  # of the block, in `own`
        at = jnp.clip(start, 0, share - size)
        from_block = at + jnp.arange(size) - start
        values = _block(key, i, width).at[from_block].get(mode="clip")
        inside = (from_block >= 0) & (from_block < BLOCK)
        before = jax.lax.dynamic_slice_in_dim(own, at, size)
        now = jnp.where(inside[:, None], values, before)
        return jax.lax.dynamic_update_slice_in_dim(own, now, at, 0)

    # The last block reaches back into the one before it, so it may have rows here too.
    begin = jnp.minimum(first // BLOCK, last)
    until = jnp.minimum((first + share - 1) // BLOCK, last) + 1
    own = jax.lax.fori_loop(begin, until, draw, jnp.zeros((share, width)))
    again = (until <= last) & (rows - BLOCK < first + share)
    return jax.lax.cond(again, lambda: draw(last, own), lambda: own)
