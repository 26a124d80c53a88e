"""Preparation by an engine, whose processes count and encode the shards of a source."""

import dataclasses
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pyarrow as pa

from ple_jax import engines
from ple_jax.data.encode import Encoder
from ple_jax.data.mapped import Mapped
from ple_jax.data.passes import Block, Sizes, Tally, count, encode
from ple_jax.data.shards import Shard, cut
from ple_jax.data.source import Reader, Source
from ple_jax.data.spill import Spill
from ple_jax.data.split import Assign
from ple_jax.engines import Engine
from ple_jax.schema import Schema
from ple_jax.show import console

B = TypeVar("B")

SHARDS = 2  # for each worker, so that one that is done early has another


@dataclasses.dataclass(frozen=True)
class Spread:
    """An engine, and the shards of a source."""

    engine: Engine
    shards: list[Shard]

    @classmethod
    def of(cls, source: Source, engine: Engine) -> "Spread":
        """Cuts a source into shards, two for each worker where its files allow it.

        Raises:
            ValueError: Only one process can read the source.
        """
        found = shards_of(source, SHARDS * engine.workers, engine)
        if len(found) < engine.workers:
            console.say(
                f"note: the files make {len(found)} shards for {engine.workers} "
                "workers: one reads a text file, or a row group of a Parquet file"
            )
        return cls(engine, found)

    def over(self, function: Callable[[Shard], B]) -> list[B]:
        """Calls a function with each shard; the results, in order."""
        return engines.call_each(self.engine, function, self.shards)

    def count(self, schema: Schema, assign: Assign, spill: Spill) -> Tally:
        """Counts all shards, and merges what is counted."""
        function = partial(_counted, schema, assign, spill)
        return engines.merge_each(self.engine, function, Tally.merge, self.shards)

    def encode(
        self, encoder: Encoder, assign: Assign, sizes: Sizes, work: pathlib.Path
    ) -> list[Block]:
        """Encodes all shards into blocks, each a folder.

        Args:
            encoder: What is fitted to train.
            assign: Gives the split of each row.
            sizes: How many rows of each shard each split has.
            work: Where the folders go; all processes must reach it.
        """
        encoder.index()
        path = work / f"fitted-{secrets.token_hex(8)}"
        fitted = Mapped.of((encoder, assign), path)
        tasks = [(shard, sizes[shard.first]) for shard in self.shards]
        try:
            function = partial(_encoded, fitted, work)
            return engines.call_each(self.engine, function, tasks)
        finally:
            path.unlink()


def shards_of(source: Source, most: int, engine: Engine) -> list[Shard]:
    """Cuts a source into at most so many shards; the engine counts rows of text files.

    Raises:
        ValueError: Only one process can read the source.
    """
    if source.readers is None:
        kind = source.identity.get("kind", "this one")
        raise ValueError(
            f"Data of kind {kind!r} are read by one process: leave --engine, --workers "
            "and --shard out, or name files by kind = 'table'."
        )
    readers = source.readers()
    unknown = [reader for reader in readers if reader.rows is None]
    counted = iter(engines.call_each(engine, _rows_of, unknown) if unknown else ())
    rows = [next(counted) if r.rows is None else r.rows for r in readers]
    return cut(readers, rows, most)


def _rows_of(reader: Reader) -> int:
    return reader.count_rows()


def _counted(schema: Schema, assign: Assign, spill: Spill, shard: Shard) -> Tally:
    tally = count(shard, schema, assign, spill=spill)
    tally.counts.settle()
    pa.default_memory_pool().release_unused()  # others need it, while this one waits
    return tally


def _encoded(
    fitted: Mapped, work: pathlib.Path, task: tuple[Shard, tuple[int, ...]]
) -> Block:
    """Encodes a shard into a folder of its own, whole or not at all.

    An engine may try a shard again, or twice at once: both write the same.
    """
    encoder, assign = fitted.value()
    shard, sizes = task
    mine = work / f".{shard.first}-{secrets.token_hex(8)}"
    mine.mkdir()
    block = encode(shard, encoder, assign, sizes, mine)
    folder = work / str(shard.first)
    try:
        os.rename(mine, folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(mine)
    return block._replace(folder=folder)
