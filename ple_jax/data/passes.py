"""Preparation as three functions of plain values: count, fit, encode.

    count(shard)         -> Tally      of each shard alone; tallies merge in any order
    fit(merged tally)    -> Encoder    once
    encode(shard)        -> Block      of each shard alone, as arrays in a folder

What comes of it is the same, to the byte, however rows are cut into shards, and
wherever these are counted and encoded.
"""

import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ple_jax.data.derive import rows_of
from ple_jax.data.encode import Encoder
from ple_jax.data.labels import read_labels
from ple_jax.data.oddities import Oddities
from ple_jax.data.ranges import expected_arrays
from ple_jax.data.row_index import IndexWriter, Origin
from ple_jax.data.rows import Rows
from ple_jax.data.shards import Shard
from ple_jax.data.spill import Spill
from ple_jax.data.split import Assign
from ple_jax.data.train_counts import Counts
from ple_jax.data.writer import SplitWriter
from ple_jax.schema import Schema
from ple_jax.splits import SPLITS

Advance = Callable[[int], None]  # is called with the number of rows just done
# Number of a shard's first row -> how many of its rows are in each split.
Sizes = Mapping[int, tuple[int, ...]]


def silent(rows: int) -> None:
    """Tells nobody."""


class Tally(NamedTuple):
    """What a pass over some rows counts."""

    counts: Counts  # of rows of train
    sizes: Sizes

    def merge(self, other: "Tally") -> "Tally":
        """Adds up those of other rows."""
        return Tally(self.counts.merge(other.counts), {**self.sizes, **other.sizes})


def total(sizes: Sizes) -> tuple[int, ...]:
    """How many rows of all shards are in each split."""
    return tuple(map(sum, zip(*sizes.values(), strict=True)))


class Block(NamedTuple):
    """What a pass over some rows encoded: one more data set, but for its encoder."""

    folder: pathlib.Path  # has a folder for each split, and the index
    origins: list[Origin]
    odd: tuple[Oddities, ...]  # of each split


def count(
    shard: Shard,
    schema: Schema,
    assign: Assign,
    advance: Advance = silent,
    spill: Spill | None = None,
) -> Tally:
    """Counts what fitting needs.

    Args:
        shard: The rows.
        schema: What their columns mean.
        assign: Gives their splits.
        advance: Is told how many rows are done.
        spill: Where counts go that are more than memory should hold; it must be there
            until the encoder that is fitted to them has encoded.

    Raises:
        ValueError: A value does not fit the schema; names file, row and column.
    """
    counts, sizes = Counts(schema, spill=spill), np.zeros(len(SPLITS), np.int64)
    for rows, split, fold in _rows_and_splits(shard, schema, assign):
        if not sizes.any():
            read_labels(rows, schema)  # a wrong kind of label is said at once
        sizes += np.bincount(split, minlength=len(SPLITS))
        counts.add(rows.where(split == 0), fold[split == 0])
        advance(len(rows))
    return Tally(counts, {shard.first: tuple(sizes.tolist())})


def fit(tally: Tally) -> Encoder:
    """Fits an encoder to what all rows add up to.

    Raises:
        ValueError: A split is empty, or train lacks what the schema names.
    """
    sizes, has_test = total(tally.sizes), tally.counts.schema.split.has_test
    if not all(sizes if has_test else sizes[:2]):
        pairs = zip(SPLITS, sizes, strict=True)
        listed = ", ".join(f"{s} {n:,}" for s, n in pairs)
        raise ValueError(f"Every split needs examples, got {listed}.")
    return Encoder.fit(tally.counts)


def encode(
    shard: Shard,
    encoder: Encoder,
    assign: Assign,
    sizes: tuple[int, ...],
    folder: pathlib.Path,
    advance: Advance = silent,
) -> Block:
    """Encodes rows into a folder that holds no arrays yet.

    Args:
        shard: The rows.
        encoder: What is fitted to train.
        assign: Gives their splits.
        sizes: How many of these rows each split has.
        folder: Where the arrays go.
        advance: Is told how many rows are done.

    Raises:
        ValueError: The rows are others than those that were counted.
    """
    expected = expected_arrays(encoder)
    writers = [
        SplitWriter(folder / split, rows, expected)
        for split, rows in zip(SPLITS, sizes, strict=True)
    ]
    index = IndexWriter(folder, sum(sizes))
    for rows, split, fold in _rows_and_splits(shard, encoder.schema, assign):
        index.add(rows, split)
        for number, writer in enumerate(writers):
            folds = fold if number == 0 else None
            writer.add(encoder, rows, np.flatnonzero(split == number), folds)
        advance(len(rows))
    for writer in writers:
        writer.check_whole()
    return Block(folder, index.origins, tuple(writer.odd for writer in writers))


def join(
    blocks: Sequence[Block],
    sizes: tuple[int, ...],
    encoder: Encoder,
    directory: pathlib.Path,
    keep: bool = False,
) -> Block:
    """Appends the arrays of blocks, in order, to those of a directory.

    Unless blocks are to be kept, a split of one is removed as soon as it is there.
    """
    expected, odd = expected_arrays(encoder), [Oddities() for _ in SPLITS]
    index = IndexWriter(directory, sum(sizes))
    for block in blocks:
        index.append(block.folder, block.origins)
        odd = [a.merge(b) for a, b in zip(odd, block.odd, strict=True)]
    for split, rows in zip(SPLITS, sizes, strict=True):
        writer = SplitWriter(directory / split, rows, expected)
        for block in blocks:
            writer.append(block.folder / split)
            if not keep:
                shutil.rmtree(block.folder / split)
    return Block(directory, index.origins, tuple(odd))


def _rows_and_splits(
    shard: Shard, schema: Schema, assign: Assign
) -> Iterator[tuple[Rows, np.ndarray, np.ndarray]]:
    """Each chunk's rows, with the number of each row's split and fold (B,)."""
    first = shard.first
    for chunk in shard.chunks():
        rows = rows_of(chunk, schema)
        yield rows, *assign(rows, first)
        first += len(rows)
