"""The rows of a table that a batch reads, each once: on the device, or on the host."""

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.types import Array, Touched


def on_device(rows: Array, end: int) -> Touched:  # rows (B, S)
    """The rows below `end`, which padding has, by one stable sort of pairs.

    Behind the sort, a row's place among the different ones is the number of times that
    the value has changed before it.
    """
    flat = jnp.ravel(rows)
    ordered, place = jax.lax.sort((flat, jnp.arange(flat.size)), num_keys=1)
    slot = jnp.cumsum(_changes(ordered, jnp), dtype=jnp.int32)
    unique = jnp.full(capacity(flat.size, end), end, jnp.int32)
    unique = unique.at[slot].set(ordered, indices_are_sorted=True)
    slots = jnp.zeros_like(slot).at[place].set(slot, unique_indices=True)
    return Touched(unique, slots.reshape(rows.shape))


def on_host(rows: Array, end: int) -> Touched:  # rows (..., B, S)
    """The same by NumPy, for each of the leading axes.

    NumPy sorts int64 several times as fast as pairs, or as `np.unique` with its
    inverse: so a row and its place are sorted as one number.
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


def _changes(ordered, xp):
    """Whether each value differs from the one before it; the first does not."""
    return xp.concatenate([xp.zeros(1, bool), ordered[1:] != ordered[:-1]])


@jax.custom_vjp
def changed(found: jax.Array, change: jax.Array, slots: jax.Array) -> jax.Array:
    """found (B, S, W) + change[slots] (U, W), where the change is zero.

    So there is nothing to add; only the gradient of the change is wanted, which is the
    sum over the places of each row.
    """
    return found


def _forward(found, change, slots):
    return found, (slots, len(change))


def _backward(kept, grads):
    slots, rows = kept
    change = jnp.zeros((rows, grads.shape[-1]), grads.dtype)
    change = change.at[slots].add(grads, mode="promise_in_bounds")
    return None, change, None


changed.defvjp(_forward, _backward)
