"""Draws tables, whole or each device its own rows, to the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike

from ple_jax.embeddings.spread import spread, spread_length, unspread
from ple_jax.parallel.mesh import DATA, mapped

BLOCK = 2**18  # rows drawn at a time
PLACES = 2**16  # of spread rows


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

    Each of several devices draws its own rows alone.
    """
    devices = 1 if mesh is None else mesh.shape[DATA]
    share, size = end // devices, min(rows, BLOCK)

    def put(start, block, own, first=0):
        at = spread(start + jnp.arange(size, dtype=jnp.int32), rows) - first
        at = jnp.where(at < 0, share, at)
        return own.at[at].set(block, mode="drop", unique_indices=True)

    def put_block(i, own):  # the last one moves back
        start = jnp.minimum(i * BLOCK, rows - BLOCK)
        return put(start, _block(key, i, width), own)

    def draw(key):
        first, empty = jax.lax.axis_index(DATA) * share, jnp.zeros((share, width))
        if rows <= BLOCK:
            return put(0, scale * jax.random.normal(key, (rows, width)), empty, first)
        return scale * _rows_at(key, first, share, rows, width)

    if devices > 1:
        assert mesh is not None
        return mapped(mesh, draw, P(), P(DATA))(key)
    empty = jnp.zeros((share, width))
    if rows <= BLOCK:
        return put(0, scale * jax.random.normal(key, (rows, width)), empty)
    return scale * jax.lax.fori_loop(0, -(-rows // BLOCK), put_block, empty)


def _rows_at(key, first, share, rows, width):  # -> (share, width)
    """The rows at places `first` to `first + share` of what is drawn in blocks."""
    size, last = min(share, PLACES), -(-rows // BLOCK) - 1

    def draw(i, own):
        start = jnp.minimum(i * size, share - size)  # the last one moves back
        place = first + start + jnp.arange(size, dtype=jnp.int32)
        row = unspread(place, rows)
        there = (place >= 0) & (place < spread_length(rows)) & (row < rows)
        block = jnp.where(row < rows - BLOCK, row // BLOCK, last)
        of_block = row - jnp.minimum(block * BLOCK, rows - BLOCK)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, block)
        values = _normal_at(keys, of_block[:, None] * width + jnp.arange(width)[None])
        values = jnp.where(there[:, None], values, 0)
        return jax.lax.dynamic_update_slice_in_dim(own, values, start, 0)

    return jax.lax.fori_loop(0, -(-share // size), draw, jnp.zeros((share, width)))


def _normal_at(keys, at):  # (n,), (n, W) -> (n, W)
    """The numbers `at` these places of what `jax.random.normal` draws by each key.

    Of JAX's own generator (Threefry), the bits of one number are those of a key that is
    folded with its place, so that none of the others need be drawn.
    """
    fold = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)))
    words = jax.random.key_data(fold(keys, at))
    bits = (words[..., 0] ^ words[..., 1]) >> 9 | np.uint32(0x3F800000)
    low = np.nextafter(np.float32(-1), np.float32(0))
    unit = jax.lax.bitcast_convert_type(bits, jnp.float32) - np.float32(1)
    uniform = jnp.maximum(low, unit * (np.float32(1) - low) + low)
    return np.float32(np.sqrt(2)) * jax.lax.erf_inv(uniform)


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
