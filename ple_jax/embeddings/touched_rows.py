"""Finds the distinct table rows that a batch reads, on the device or on the host."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from ple_jax.embeddings.gather import scatter_fields
from ple_jax.parallel.mesh import DATA, mapped
from ple_jax.types import Array, Touched


def find_on_device(rows: Array, end: int) -> Touched:  # rows (B, S)
    """Finds the distinct rows by one stable sort of (row, place) pairs.

    The slot of a lookup is the number of times that the sorted row has changed before
    it. Padding has row `end`, one past the table.
    """
    flat = jnp.ravel(rows)
    ordered, place = jax.lax.sort((flat, jnp.arange(flat.size)), num_keys=1)
    slot = jnp.cumsum(_changes(ordered, jnp), dtype=jnp.int32)
    unique = jnp.full(capacity(flat.size, end), end, jnp.int32)
    unique = unique.at[slot].set(ordered, indices_are_sorted=True)
    slots = jnp.zeros_like(slot).at[place].set(slot, unique_indices=True)
    return Touched(unique, slots.reshape(rows.shape))


def find_on_host(rows: Array, end: int) -> Touched:  # rows (..., B, S)
    """Finds the same rows with NumPy, for each index of the leading axes.

    A row and its place are packed into one int64, because NumPy sorts integers several
    times as fast as pairs, or as `np.unique` with its inverse.
    """
    lead, size = rows.shape[:-2], rows.shape[-2] * rows.shape[-1]
    unique = np.full((*lead, capacity(size, end)), end, np.int32)
    slots = np.empty((*lead, size), np.int32)
    for i in np.ndindex(lead):
        pairs = np.asarray(rows[i]).ravel().astype(np.int64) << 32 | np.arange(size)
        pairs.sort()
        ordered, place = pairs >> 32, pairs & (2**32 - 1)
        slot = np.cumsum(_changes(ordered, np), dtype=np.int32)
        unique[i][slot] = ordered
        slots[i][place] = slot
    return Touched(unique, slots.reshape(rows.shape))


def capacity(lookups: int, end: int) -> int:
    """U: the most rows that a batch can touch, and one for padding."""
    return min(lookups, end + 1)


def _changes(ordered, xp):  # (n,) -> (n,) bool
    """Whether each value differs from the one before it; False for the first."""
    return xp.concatenate([xp.zeros(1, bool), ordered[1:] != ordered[:-1]])


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def with_delta(
    embedded: jax.Array,  # (B, fields, W)
    delta: jax.Array,  # (U, W), or (D, U, W)
    slots: jax.Array,  # (B, S)
    lengths: tuple[int, ...] = (),
    mesh: Mesh | None = None,
) -> jax.Array:  # (B, fields, W)
    """embedded + `read_fields` of delta at `slots`, for a delta of zeros.

    Adding zero costs nothing, so the value is `embedded` itself. Only the gradient of
    `delta` is wanted: it sums the gradients of all places that read a row. With a
    `mesh`, each of its devices has a delta for its slice of the batch.
    """
    return embedded


def _forward(embedded, delta, slots, lengths, mesh):
    return embedded, (slots, delta.shape[-2])


def _backward(lengths, mesh, kept, grads):
    slots, rows = kept
    of = lambda grads, slots: scatter_fields(grads, slots, lengths, rows)
    if mesh is None:
        return None, of(grads, slots), None
    local = lambda grads, slots: of(grads, slots)[None]
    return None, mapped(mesh, local, P(DATA), P(DATA))(grads, slots), None


with_delta.defvjp(_forward, _backward)
