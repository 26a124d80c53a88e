"""Embedding tables, fused by width, and the input that a model reads."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ple_jax.checks import check_known, is_off
from ple_jax.config.experiment import Inputs
from ple_jax.embeddings.draw import draw_normal, draw_split, draw_spread
from ple_jax.embeddings.gather import read_fields
from ple_jax.embeddings.sharded import Exchange
from ple_jax.embeddings.sparsecore import MULTIPLE, SparseCores, cores_of
from ple_jax.embeddings.spread import spread, spread_length
from ple_jax.embeddings.touched_rows import capacity, with_delta
from ple_jax.layout import Bag, IdColumn, Layout
from ple_jax.parallel.mesh import DATA
from ple_jax.types import Array, Batch

MAX_ROWS = 2**31 - 1  # ids are int32 from end to end
Column = TypeVar("Column", bound=IdColumn | Bag)
FROZEN_KEYS = 2**20  # apart from every width, so that no two tables are drawn alike


@dataclasses.dataclass(frozen=True)
class Tables:
    """The tables of a layout, fused by width: one array and one gather per width.

    `lookup` and `assemble` are separate so that a step can differentiate with respect
    to the rows that a batch touches. Gradients then have the size of the batch, not
    that of the tables.

        x = [embedded ids; mean over each bag; numbers; piecewise-linear numbers]

    With `inputs.per_task` a row holds the embeddings of all tasks, one after another,
    so that a step still gathers and updates each row once; x is then (B, T, D).

    On a `mesh` of several devices a fused table ends with rows of zeros that make it
    divide evenly and that nothing reads: V counts them. It is split by rows, or where
    that sends less copied to every device (`choose.replicated`).

    Attributes:
        layout: What a batch holds.
        inputs: How it becomes the input of a model.
        mesh: The devices that share the tables; None for one.
        exchanged: Fused table that devices exchange rows of -> the room for them
            (`Exchange.share`). Rows of others move as XLA decides.
        replicated: Fused tables that every device has a copy of.
    """

    layout: Layout
    inputs: Inputs
    mesh: Mesh | None = None
    exchanged: Mapping[str, float] = dataclasses.field(default_factory=dict)
    replicated: frozenset[str] = frozenset()

    def __post_init__(self):
        known = {c.table for c in self._columns}
        for table in self.inputs.frozen:
            check_known(table, known, "table (inputs.frozen)")

    @property
    def _columns(self) -> tuple[IdColumn | Bag, ...]:
        return (*self.layout.ids, *self.layout.bags)

    @property
    def copies(self) -> int:
        """Copies of each table, one after another: N if `inputs.per_domain`, else 1."""
        return len(self.layout.domains) if self.inputs.per_domain else 1

    @property
    def tasks_apart(self) -> int:
        """Embeddings in a row: T if `inputs.per_task`, else 1."""
        return len(self.layout.tasks) if self.inputs.per_task else 1

    def _dim(self, column: IdColumn | Bag) -> int:
        return column.dim or self.inputs.embedding_dim

    def _fused(self, column: IdColumn | Bag) -> tuple[int, bool]:
        return self._dim(column), column.table in self.inputs.frozen

    @cached_property
    def fused(self) -> Mapping[str, tuple[int, bool]]:
        """Fused table -> (width W, whether it is frozen), in the order of x."""
        return {
            f"dim_{width}" + "_frozen" * frozen: (width, frozen)
            for width, frozen in sorted({self._fused(c) for c in self._columns})
        }

    def _columns_in(
        self, name: str, columns: tuple[Column, ...]
    ) -> list[tuple[int, Column]]:
        """The columns that read a fused table, with their places in `columns`."""
        key = self.fused[name]
        return [(i, c) for i, c in enumerate(columns) if self._fused(c) == key]

    @cached_property
    def offsets(self) -> Mapping[str, Mapping[str, int]]:
        """Fused table -> table -> its first row in the fused array; "" gives V."""
        fused = {}
        for name, (width, _) in self.fused.items():
            rows, end = {}, 0
            for _, c in self._columns_in(name, self._columns):
                if c.table not in rows:
                    rows[c.table] = end
                    end += c.rows * self.copies
            if end > MAX_ROWS:
                raise ValueError(
                    f"The tables of width {width} have {end} rows together; a fused "
                    f"table holds at most {MAX_ROWS}. Raise min_count."
                )
            end = spread_length(end) if self.spreads else end
            parts = self.shards * (MULTIPLE if self._by_cores(name) else 1)
            fused[name] = rows | {"": -(-end // parts) * parts}
        return fused

    @property
    def spreads(self) -> bool:
        """Whether rows are spread, for devices to have as much to do each."""
        return self.inputs.row_order == "spread"

    @property
    def shards(self) -> int:
        """How many devices share the rows of a table."""
        return 1 if self.mesh is None else self.mesh.shape[DATA]

    def rows(self, name: str) -> int:
        """Rows of a fused table that ids mean."""
        columns = {c.table: c.rows for _, c in self._columns_in(name, self._columns)}
        return self.copies * sum(columns.values())

    def length(self, name: str) -> int:
        """V without the zeros at its end."""
        rows = self.rows(name)
        return spread_length(rows) if self.spreads else rows

    def end(self, name: str) -> int:
        """What pads rows: V, as far as int32 goes."""
        return min(self.offsets[name][""], MAX_ROWS)

    def places(self, name: str, rows: Array) -> Array:
        """Where rows of a fused table lie in its array."""
        return spread(rows, self.rows(name)) if self.spreads else rows

    def exchange(self, name: str) -> Exchange:
        """How devices exchange the rows of a fused table."""
        assert self.mesh is not None
        length, share = self.offsets[name][""], self.exchanged[name]
        if self._by_cores(name):
            cores = cores_of(self.mesh)
            return SparseCores(self.mesh, length, self.end(name), share, cores=cores)
        wire = jnp.dtype(self.inputs.wire)
        return Exchange(self.mesh, length, self.end(name), share, wire)

    def _by_cores(self, name: str) -> bool:
        return name in self.exchanged and self.inputs.exchange == "sparsecore"

    def lookups(self, name: str) -> int:
        """S: how many rows of a fused table one example reads, padding included."""
        ids = self._columns_in(name, self.layout.ids)
        bags = self._columns_in(name, self.layout.bags)
        return len(ids) + sum(bag.length for _, bag in bags)

    @property
    def numbers(self) -> int:
        """Numbers in all tables."""
        return sum(self.rows(name) * self.row_width(name) for name in self.fused)

    def row_width(self, name: str) -> int:
        """Numbers in a row of a fused table: W, or T W if `inputs.per_task`."""
        return self.fused[name][0] * self.tasks_apart

    def room(self, name: str, examples: int) -> int:
        """The rows that a device can ask another for at a time, for its slice."""
        most = capacity(examples * self.lookups(name), self.end(name))
        return self.exchange(name).capacity(most)

    def init(self, key: jax.Array) -> dict[str, jax.Array]:  # "dim_8" -> (V, 8)
        """Draws normal values with standard deviation `inputs.embedding_scale`."""

        def draw(name: str) -> jax.Array:
            own, scale = self._key(key, name), self.inputs.embedding_scale
            rows, width = self.rows(name), self.row_width(name)
            end = self.offsets[name][""]
            if self.spreads:
                return draw_spread(self.mesh, own, rows, end, width, scale)
            if self.mesh is None or self.shards == 1:
                return scale * draw_normal(own, rows, width)
            return draw_split(self.mesh, own, rows, end, width, scale)

        return {name: draw(name) for name in self.fused}

    def _key(self, key: jax.Array, name: str) -> jax.Array:
        width, frozen = self.fused[name]
        return jax.random.fold_in(key, width + FROZEN_KEYS * frozen)

    def rows_or_end(
        self, batch: Batch, name: str, xp: ModuleType = jnp
    ) -> Array:  # (..., B, S) int32
        """The rows of one fused table that the batch reads; `end` pads bags.

        Args:
            batch: May have any leading axes.
            name: Name of the fused table.
            xp: jax.numpy to compute on the device, NumPy to compute on the host.
        """
        fields = self._columns_in(name, self.layout.ids)
        bags = [bag for _, bag in self._columns_in(name, self.layout.bags)]
        every = len(fields) == len(self.layout.ids)
        index = np.array([i for i, _ in fields], np.int32)
        parts = [batch.ids if every else batch.ids[..., index]]
        parts += [batch.bags[bag.name] for bag in bags]
        columns: list[IdColumn | Bag] = [c for _, c in fields]
        columns += [bag for bag in bags for _ in range(bag.length)]
        ids = xp.concatenate(parts, axis=-1) if bags else parts[0]
        rows = self.places(name, ids + self._first_rows(batch, name, columns))
        return xp.where(ids < 0, self.end(name), rows) if bags else rows

    def _first_rows(
        self, batch: Batch, name: str, columns: Sequence[IdColumn | Bag]
    ) -> Array:  # (..., B or 1, columns) int32
        """The first row of each column's table, in the example's own copy of it."""
        offsets, shape = self.offsets[name], (1,) * batch.domain.ndim + (-1,)
        first = np.array([offsets[c.table] for c in columns], np.int32).reshape(shape)
        if self.copies == 1:
            return first
        rows = np.array([c.rows for c in columns], np.int32).reshape(shape)
        return first + batch.domain[..., None] * rows

    def lengths(self, name: str) -> tuple[int, ...]:
        """The padded length of each bag that reads a fused table."""
        return tuple(b.length for _, b in self._columns_in(name, self.layout.bags))

    def read(
        self, name: str, table: jax.Array, batch: Batch
    ) -> jax.Array:  # (B, fields, W)
        """The embeddings of the fields of a fused table; of a bag, the mean of its own.

        Ids were checked on the host, so none is out of range.
        """
        touched, lengths = batch.touched.get(name), self.lengths(name)
        if touched is None or name not in self.exchanged:
            mesh = self.mesh if name in self.replicated else None
            return read_fields(table, self.rows_or_end(batch, name), lengths, mesh)
        slots = self._slots(name, batch)
        return self.exchange(name).read(table, touched, slots, lengths)

    def _slots(self, name: str, batch: Batch) -> jax.Array:  # (B, S)
        """The place in `Touched.rows` of each lookup; U for the padding of bags."""
        touched = batch.touched[name]
        there = self.rows_or_end(batch, name) < self.end(name)
        return jnp.where(there, touched.slots, touched.rows.shape[-1])

    def lookup(
        self, tables: Mapping[str, jax.Array], batch: Batch
    ) -> dict[str, jax.Array]:  # "dim_8" -> (B, fields, 8)
        """Reads the fields of each table. Frozen tables pass no gradient.

        If `batch.touched` holds a table's embeddings already, `tables` has a delta
        (U, W) of zeros in its place.
        """
        embedded = {}
        for name, table in tables.items():
            touched = batch.touched.get(name)
            if touched is None or touched.embedded is None:
                embedded[name] = self.read(name, table, batch)
            else:
                slots, lengths = self._slots(name, batch), self.lengths(name)
                mesh = self.mesh if name in self.exchanged else None
                embedded[name] = with_delta(
                    touched.embedded, table, slots, lengths, mesh
                )
        stop = jax.lax.stop_gradient
        return {n: stop(e) if self.fused[n][1] else e for n, e in embedded.items()}

    def assemble(
        self,
        embedded: Mapping[str, jax.Array],  # "dim_8" -> (B, fields, 8)
        batch: Batch,
        dropout_key: jax.Array | None = None,
    ) -> jax.Array:  # (B, D), or (B, T, D) if `inputs.per_task`
        """Concatenates the embedded fields and the numbers; a key turns dropout on."""
        parts: list[Array] = []
        for name in self.fused:
            fields = self._drop(embedded[name], dropout_key, name)
            parts.append(self._joined(fields))
        parts += map(self._for_each_task, self._numbers(batch))
        return jnp.concatenate(parts, axis=-1).astype(jnp.float32)

    def _numbers(self, batch: Batch) -> list[Array]:  # (B, columns) each
        """The numbers that are read as they are, and the encodings of the others."""
        parts: list[Array] = []
        plain = np.array([c.bins == 0 for c in self.layout.numbers], bool)
        if plain.any():
            parts.append(batch.numbers if plain.all() else batch.numbers[:, plain])
        if not plain.all():
            bins = [c.bins for c in self.layout.numbers]
            start = np.concatenate([np.arange(count) for count in bins])
            position = batch.numbers[:, np.repeat(np.arange(len(bins)), bins)]
            parts.append(jnp.clip(position - start[None], 0, 1))
        return parts

    def _joined(self, fields: jax.Array) -> jax.Array:
        """(B, fields, W) -> (B, fields * W), or (B, T, ...) if `inputs.per_task`."""
        if self.inputs.per_task:
            apart = (*fields.shape[:2], self.tasks_apart, -1)
            fields = jnp.swapaxes(fields.reshape(apart), 1, 2)
        return fields.reshape(*fields.shape[:-2], -1)

    def _for_each_task(self, x: Array) -> Array:
        """(B, columns) -> (B, T, columns) if `inputs.per_task`."""
        if not self.inputs.per_task:
            return x
        return jnp.broadcast_to(x[:, None], (x.shape[0], self.tasks_apart, x.shape[1]))

    def _drop(
        self,
        fields: jax.Array,  # (B, fields, W)
        key: jax.Array | None,
        name: str,
    ) -> jax.Array:  # (B, fields, W)
        """Drops whole fields at random and scales the others up to keep the mean."""
        chance = self.inputs.embedding_dropout_rate
        if key is None or is_off(chance):
            return fields
        key = self._key(key, name)
        kept = jax.random.bernoulli(key, 1 - chance, fields.shape[:2])
        return fields * (kept / (1 - chance))[:, :, None]

    @cached_property
    def width(self) -> int:
        """D, the width of the assembled input."""
        return sum(map(self._dim, self._columns)) + sum(
            c.bins or 1 for c in self.layout.numbers
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example's input: (D,), or (T, D) if `inputs.per_task`."""
        apart = (self.tasks_apart,) if self.inputs.per_task else ()
        return *apart, self.width
