"""Rows of tables that devices share, sent between them by `all_to_all`.

Each device owns a range of a table's rows, and works on its slice of a batch. It asks
each owner for the distinct rows of its slice; the summed gradients of these go back the
same way, and the owner adds up what several devices send for one row. So what a device
sends does not grow with the batch of all, and no device sees that batch.

An exchange has room for C rows of each two devices. Where a batch asks for more, it
takes several rounds, each for a part of every owner's range, so that no row is left out
and all gradients of a row meet in one round.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike

from ple_jax.embeddings import touched_rows
from ple_jax.embeddings.gather import read_fields
from ple_jax.optim.rows import RowUpdate
from ple_jax.parallel.mesh import DATA, mapped
from ple_jax.types import Array, PyTree, Touched

OVER_MEAN, OVER_BUSIEST = 1.25, 1.05  # room, by what the first batches ask for


@dataclasses.dataclass(frozen=True)
class Exchange:
    """How the devices of a mesh exchange rows of one table (V, W).

    Attributes:
        mesh: The D devices.
        length: V, a multiple of D; each device owns V / D rows, one after another.
        end: Pads rows; no row that is read or moved reaches it.
        share: C, as a share of the rows that a slice can touch.
        wire: The precision of the rows that are read, on their way.
    """

    mesh: Mesh
    length: int
    end: int
    share: float
    wire: Any = jnp.float32

    @property
    def devices(self) -> int:
        """D."""
        return self.mesh.shape[DATA]

    @property
    def own(self) -> int:
        """V / D."""
        return self.length // self.devices

    @property
    def owners(self) -> int:
        """How many ranges of rows are asked for apart."""
        return self.devices

    def capacity(self, most: int) -> int:
        """C, of slices that touch `most` rows U at most."""
        return max(1, min(most, math.ceil(self.share * most)))

    def share_for(self, rows: Array) -> float:  # (..., U)
        """The share that first batches need, by the rows that `find_on_host` found.

        C = max(1.25 mean, 1.05 busiest) of the rows that one device asks one owner for
        """
        each = self.length // self.owners
        ends = np.minimum(np.arange(1, self.owners + 1) * each, self.end)
        slices = np.asarray(rows).reshape(-1, rows.shape[-1])
        until = np.array([np.searchsorted(one, ends) for one in slices])
        asked = np.diff(until, axis=1, prepend=0)
        room = max(OVER_MEAN * asked.mean(), OVER_BUSIEST * asked.max(), 1)
        return min(1.0, float(room) / rows.shape[-1])

    def _mapped(self, local: Callable, places: Any, out: Any) -> Callable:
        return mapped(self.mesh, local, places, out)

    def find(self, rows: Array) -> Touched:  # (B, S)
        """Finds the distinct rows of each slice, on its device: `Touched` of (D, U)."""

        def local(rows):
            found = touched_rows.find_on_device(rows, self.end)
            return found.rows[None], found.slots

        unique, slots = self._mapped(local, P(DATA), P(DATA))(rows)
        return Touched(unique, slots)

    def find_on_host(self, rows: Array) -> Touched:  # (..., B, S), of this process
        """Finds the same with NumPy, for each index of the leading axes."""
        slices = self.mesh.local_mesh.shape[DATA]
        apart = rows.reshape(*rows.shape[:-2], slices, -1, rows.shape[-1])
        found = touched_rows.find_on_host(apart, self.end)
        return Touched(found.rows, found.slots.reshape(rows.shape))

    def with_part(self, touched: Touched) -> Touched:
        """Adds the `part` of every owner's range that one round can do, in bits."""
        part = self._mapped(lambda rows: self._part(rows[0]), P(DATA), P())
        return touched.replace(part=part(touched.rows))

    def _part(self, rows: jax.Array) -> jax.Array:  # (U,) -> () int32
        room = self.capacity(len(rows))
        low, high = rows[:-room], rows[room:]

        def crowded(part):
            same = low // self.own == high // self.own
            same &= (low % self.own) >> part == (high % self.own) >> part
            return (same & (high < self.end)).any()

        whole = jnp.int32(_bits(self.own))
        part = jax.lax.while_loop(crowded, lambda part: part - 1, whole)
        return _smallest(jax.lax.pmin(part, DATA))

    def overflows(self, touched: Touched) -> jax.Array:  # () bool
        """Whether a batch asks for more than there is room for."""
        return self.rounds(touched.part) > 1

    def rounds(self, part: Any) -> jax.Array:  # () int32
        """How many rounds are needed; more than one where C is too small."""
        return ((self.own - 1) >> part) + 1

    def read(
        self,
        table: jax.Array,  # (V, W)
        touched: Touched,
        slots: jax.Array,  # (B, S), with U where a bag is padded
        lengths: tuple[int, ...],
    ) -> jax.Array:  # (B, fields, W)
        """`read_fields` of the table."""

        def local(table, rows, part, slots):
            return read_fields(self._fetched(table, rows[0], part), slots, lengths)

        places = P(DATA), P(DATA), P(), P(DATA)
        read = self._mapped(local, places, P(DATA))
        return read(table, touched.rows, touched.part, slots)

    def _fetched(self, table, rows, part):  # (V / D, W), (U,) -> (U, W)
        def one(k, got):
            first, count = self._spans(rows, k, part)
            wanted, at = self._asked(rows, first, count)
            theirs = table.at[wanted].get(mode="fill", fill_value=0)
            back = _sent(theirs.astype(self.wire)).astype(table.dtype)
            return got.at[at].set(back, mode="drop")

        empty = jnp.zeros((len(rows), table.shape[1]), table.dtype)
        return jax.lax.fori_loop(0, self.rounds(part), one, empty)

    def update(
        self,
        rule: RowUpdate,
        table: jax.Array,  # (V, W)
        state: PyTree,
        touched: Touched,
        grads: jax.Array,  # (D, U, W)
        rate: ArrayLike,
        step: ArrayLike,
    ) -> tuple[jax.Array, PyTree]:
        """Each owner moves its rows by the sum of all devices' gradients."""

        def local(table, state, rows, grads, part, *now):
            return self._moved(rule, table, state, rows[0], grads[0], part, *now)

        split = P(DATA), P(DATA)
        move = self._mapped(local, (*split, *split, P(), P(), P()), split)
        return move(table, state, touched.rows, grads, touched.part, rate, step)

    def _moved(self, rule, table, state, rows, grads, part, rate, step):
        def one(k, moved):
            return rule(*moved, *self._merged(rows, grads, k, part), rate, step)

        return jax.lax.fori_loop(0, self.rounds(part), one, (table, state))

    def gram(self, touched: Touched, grads: jax.Array) -> jax.Array:
        """Inner products of the tables' gradients: (T, D, U, W) -> (T, T).

        Those of whole tables' gradients: what devices have of a row is summed first.
        """

        def local(rows, part, grads):
            def one(k, total):
                _, sums = self._merged(rows[0], grads[:, 0], k, part)
                flat = sums.reshape(len(sums), -1)
                return total + jnp.matmul(flat, flat.T, precision="highest")

            zero = jnp.zeros((len(grads), len(grads)), jnp.float32)
            total = jax.lax.fori_loop(0, self.rounds(part), one, zero)
            return jax.lax.psum(total, DATA)

        gram = self._mapped(local, (P(DATA), P(), P(None, DATA)), P())
        return gram(touched.rows, touched.part, grads)

    def _spans(self, rows, k, part):  # (U,) -> first (D,), count (D,)
        """Where the rows lie, and how many, that each owner is asked for in round k."""
        before = jnp.arange(self.devices, dtype=jnp.int32) * self.own - 1
        edge = lambda k: before + jnp.minimum(k << part, self.own)  # the last row of k
        until = lambda last: jnp.searchsorted(
            rows, jnp.minimum(last, self.end - 1), side="right"
        ).astype(jnp.int32)
        first = until(edge(k))
        return first, until(edge(k + 1)) - first

    def _asked(self, rows, first, count):  # -> (D, C) of the owner, (D, C) of the asker
        """What other devices ask of this one; and the places of what this one asked."""
        j = jnp.arange(self.capacity(len(rows)), dtype=jnp.int32)[None]
        at = jnp.where(j < count[:, None], first[:, None] + j, len(rows))
        start = jnp.arange(self.devices, dtype=jnp.int32)[:, None] * self.own
        mine = rows.at[at].get(mode="fill", fill_value=0) - start
        return _sent(jnp.where(at < len(rows), mine, self.own)), at

    def _merged(self, rows, grads, k, part):
        """The rows asked of this device, and their gradients: (n,), (..., n, W)."""
        first, count = self._spans(rows, k, part)
        wanted, at = self._asked(rows, first, count)
        mine = jnp.moveaxis(grads, -2, 0).at[at].get(mode="fill", fill_value=0)
        theirs = _sent(mine)
        found = touched_rows.find_on_device(wanted, self.own)
        sums = jnp.zeros((len(found.rows), *theirs.shape[2:]), theirs.dtype)
        sums = sums.at[found.slots].add(theirs, mode="drop")
        return found.rows, jnp.moveaxis(sums, 0, -2)


def _sent(parts: jax.Array) -> jax.Array:  # (D, ...)
    """Part i goes to device i; what comes back is in the order of devices, too."""
    return jax.lax.all_to_all(parts, DATA, 0, 0)


def _bits(own: int) -> int:
    """How many bits number the rows of an owner."""
    return (own - 1).bit_length()


@jax.custom_batching.custom_vmap
def _smallest(part: jax.Array) -> jax.Array:
    """One number for all trials: a loop of several ends would copy whole tables."""
    return part


@_smallest.def_vmap
def _smallest_of_all(size, batched, part):
    return part.min(), False
