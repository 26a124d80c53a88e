"""Embeddings of a run: how long they are, and which of them are ever used."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ple_jax.data.examples import Examples
from ple_jax.data.store import Prepared
from ple_jax.embeddings.tables import Tables
from ple_jax.layout import Bag, IdColumn
from ple_jax.runs.directory import Run
from ple_jax.serve.files import load_scorer

TENTHS = 10
QUANTILES = (0.1, 0.5, 0.9)
CHUNK = 2**20  # rows of a split that are read at a time


def embedding_use(run: Run) -> dict[str, dict[str, Any]]:
    """Norms of each table's rows by how often train has them, and what it lacks.

    A row that no example of train reads keeps its initial values. With
    `inputs.per_domain` or `inputs.per_task`, norms are those of all copies.

    Returns:
        Field, or `field:bucket` -> plain values:

        table, rows, width   what it reads: rows V of so many numbers
        never_trained        share of the rows that train never reads, by any field
        unseen               split -> share of its examples with a value new to train
        least, most          (10,) how often train has the rows of a tenth
        norms                (10, 3) quantiles 0.1, 0.5 and 0.9 of |row|_2 in a tenth

        A list is unseen if one of its items is. Tenths go from the rarest rows that
        occur to the most frequent; of few rows there are fewer.
    """
    _, variables = load_scorer(run)
    data, tables = run.data, Tables(run.data.layout, run.experiment.inputs)
    columns: tuple[IdColumn | Bag, ...] = (*data.layout.ids, *data.layout.bags)
    counts = {c.table: np.zeros(c.rows, np.int64) for c in columns}
    train = data.split("train")
    for column in columns:
        for ids in _ids(train, data, column):
            known = ids[ids >= 0]
            counts[column.table] += np.bincount(known, minlength=column.rows)
    norms = {c.table: norms_of(tables, variables["tables"], c) for c in columns}
    return {
        column.name: {
            "table": column.table,
            "rows": column.rows,
            "width": column.dim or run.experiment.inputs.embedding_dim,
            "never_trained": float((counts[column.table] == 0).mean()),
            "unseen": {
                split: unseen(data, split, column, counts[column.table])
                for split in data.splits[1:]
            },
            **by_frequency(counts[column.table], norms[column.table]),
        }
        for column in columns
    }


def _ids(
    examples: Examples, data: Prepared, column: IdColumn | Bag
) -> Iterator[np.ndarray]:  # each (rows, items); -1 pads
    """The ids of a field, a million rows at a time."""
    whole = examples.bags.get(column.name) if isinstance(column, Bag) else None
    if whole is None:
        number = data.layout.ids.index(column)
        whole = examples.ids[:, number : number + 1]
    for first in range(0, len(examples), CHUNK):
        yield np.asarray(whole[first : first + CHUNK])


def unseen(
    data: Prepared, split: str, column: IdColumn | Bag, counts: np.ndarray
) -> float:
    """The share of a split's examples with an id that train does not have."""
    examples, found = data.split(split), 0
    for ids in _ids(examples, data, column):
        lacks = (counts[ids] == 0) & (ids >= 0)
        found += int(lacks.any(axis=1).sum())
    return found / len(examples)


def norms_of(
    tables: Tables, arrays: dict[str, Any], column: IdColumn | Bag
) -> np.ndarray:  # (copies, V)
    """|row|_2 of the table of a column, in each copy of it."""
    name = next(n for n in tables.fused if column.table in tables.offsets[n])
    first = tables.offsets[name][column.table]
    rows = first + np.arange(column.rows * tables.copies, dtype=np.int32)
    own = np.asarray(arrays[name])[tables.places(name, rows)]
    lengths = np.sqrt((own.astype(np.float64) ** 2).sum(axis=-1))
    return lengths.reshape(tables.copies, column.rows)


def by_frequency(counts: np.ndarray, norms: np.ndarray) -> dict[str, np.ndarray]:
    """How long the rows of each tenth are, from the rarest that train has."""
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    parts = [part for part in np.array_split(order, TENTHS) if len(part)]
    of = lambda part: np.quantile(norms[:, part], QUANTILES)
    return {
        "least": np.array([counts[part].min() for part in parts], np.int64),
        "most": np.array([counts[part].max() for part in parts], np.int64),
        "norms": np.array([of(p) for p in parts]).reshape(-1, len(QUANTILES)),
    }
