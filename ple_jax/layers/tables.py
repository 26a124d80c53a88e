"""Embedding tables, fused by width, and the input that a model reads."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.schema import Bag, IdColumn, Layout
from ple_jax.types import Array, Batch

MAX_ROWS = 2**31 - 1  # ids are int32 from end to end
Column = TypeVar("Column", IdColumn, Bag)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """How a batch becomes the input of the model.

    Attributes:
        embedding_dim: Width of an embedding, where the schema names none.
        embedding_scale: Standard deviation of the initial embeddings.
        embedding_dropout_rate: Chance that an embedded field is dropped while training.
    """

    embedding_dim: int = 8
    embedding_scale: float = 0.05
    embedding_dropout_rate: float = 0.0

    def __post_init__(self):
        if self.embedding_dim < 1:
            raise ValueError(
                f"inputs.embedding_dim must be at least 1, got {self.embedding_dim}."
            )
        if not 0 <= self.embedding_dropout_rate < 1:
            raise ValueError(
                "inputs.embedding_dropout_rate must be in [0, 1), got "
                f"{self.embedding_dropout_rate}."
            )


@dataclasses.dataclass(frozen=True)
class Tables:
    """All tables of a layout; those of one width are one array, read by one gather.

    `lookup` and `assemble` are apart so that a step can differentiate with respect to
    the looked-up rows, whose number is the size of the batch, not of the tables.

        x = [embedded ids; mean over each bag; numbers; piecewise-linear numbers]
    """

    layout: Layout
    inputs: Inputs

    def _dim(self, column: IdColumn | Bag) -> int:
        return column.dim or self.inputs.embedding_dim

    @property
    def _columns(self) -> tuple[IdColumn | Bag, ...]:
        return (*self.layout.ids, *self.layout.bags)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """The widths there are, in order."""
        return tuple(sorted({self._dim(c) for c in self._columns}))

    def _of_width(
        self, columns: tuple[Column, ...], width: int
    ) -> list[tuple[int, Column]]:
        return [(i, c) for i, c in enumerate(columns) if self._dim(c) == width]

    @cached_property
    def offsets(self) -> Mapping[int, Mapping[str, int]]:
        """Width -> table -> its first row in the fused array; "" is the end."""
        fused = {}
        for width in self.widths:
            rows, end = {}, 0
            for c in self._columns:
                if self._dim(c) == width and c.table not in rows:
                    rows[c.table] = end
                    end += c.rows
            if end > MAX_ROWS:
                raise ValueError(
                    f"The tables of width {width} have {end} rows together; a fused "
                    f"table holds at most {MAX_ROWS}. Raise min_count."
                )
            fused[width] = rows | {"": end}
        return fused

    def init(self, key: jax.Array) -> dict[str, jax.Array]:  # "dim_8" -> (V, 8)
        """Normal initial values of standard deviation `embedding_scale`."""
        scale = self.inputs.embedding_scale
        return {
            f"dim_{width}": scale
            * jax.random.normal(jax.random.fold_in(key, width), (rows[""], width))
            for width, rows in self.offsets.items()
        }

    def rows(self, batch: Batch) -> dict[str, Array]:  # "dim_8" -> (B, S) int32
        """The rows of each fused table that the batch reads: S per example."""
        return {f"dim_{width}": self._rows(batch, width) for width in self.widths}

    def _rows(self, batch: Batch, width: int) -> Array:
        offsets, parts = self.offsets[width], []
        if columns := self._of_width(self.layout.ids, width):
            first = np.array([offsets[c.table] for _, c in columns], np.int32)
            index = [i for i, _ in columns]
            every = len(index) == len(self.layout.ids)
            ids = batch.ids if every else batch.ids[:, np.array(index)]
            parts.append(ids + first[None])
        for _, bag in self._of_width(self.layout.bags, width):
            parts.append(jnp.maximum(batch.bags[bag.name], 0) + offsets[bag.table])
        return jnp.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def lookup(
        self, tables: Mapping[str, jax.Array], batch: Batch
    ) -> dict[str, jax.Array]:  # "dim_8" -> (B, S, 8)
        """One gather a width; ids are checked on the host, so none is out of range."""
        rows = self.rows(batch)
        return {
            name: table.at[rows[name]].get(mode="promise_in_bounds")
            for name, table in tables.items()
        }

    def assemble(
        self,
        embedded: Mapping[str, jax.Array],  # "dim_8" -> (B, S, 8)
        batch: Batch,
        dropout_key: jax.Array | None = None,
    ) -> jax.Array:  # (B, D)
        """Joins the looked-up rows and the numbers; a key turns dropout on."""
        parts: list[Array] = []
        for width in self.widths:
            fields = self._pool(embedded[f"dim_{width}"], batch, width)
            fields = self._drop(fields, dropout_key, width)
            parts.append(fields.reshape(fields.shape[0], -1))
        plain = np.array([c.bins == 0 for c in self.layout.numbers], bool)
        if plain.any():
            parts.append(batch.numbers if plain.all() else batch.numbers[:, plain])
        parts += [
            jnp.clip(batch.numbers[:, i, None] - np.arange(c.bins)[None], 0, 1)
            for i, c in enumerate(self.layout.numbers)
            if c.bins
        ]
        return jnp.concatenate(parts, axis=1).astype(jnp.float32)

    def _pool(
        self, embedded: jax.Array, batch: Batch, width: int
    ) -> jax.Array:  # (B, fields, width)
        """The mean of each bag's embeddings; zero for an empty bag."""
        start = len(self._of_width(self.layout.ids, width))
        parts = [embedded[:, :start]]
        for _, bag in self._of_width(self.layout.bags, width):
            there = (batch.bags[bag.name] >= 0).astype(embedded.dtype)[:, :, None]
            values = embedded[:, start : start + bag.length] * there
            count = jnp.maximum(there.sum(1, keepdims=True), 1)
            parts.append(values.sum(1, keepdims=True) / count)
            start += bag.length
        return jnp.concatenate(parts, axis=1) if len(parts) > 1 else embedded

    def _drop(self, fields: jax.Array, key: jax.Array | None, width: int) -> jax.Array:
        """Whole fields dropped at random, the others scaled up to keep the mean."""
        rate = self.inputs.embedding_dropout_rate
        if key is None or rate == 0:
            return fields
        key = jax.random.fold_in(key, width)
        kept = jax.random.bernoulli(key, 1 - rate, fields.shape[:2])
        return fields * (kept / (1 - rate))[:, :, None]

    @cached_property
    def width(self) -> int:
        """D, the width of the assembled input."""
        return sum(map(self._dim, self._columns)) + sum(
            c.bins or 1 for c in self.layout.numbers
        )
