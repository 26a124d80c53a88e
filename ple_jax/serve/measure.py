"""Measures a run on labelled rows that are not of its data set."""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ple_jax.data.derive import rows_of
from ple_jax.data.examples import Examples
from ple_jax.data.frames import ORIGIN, chunks_of
from ple_jax.data.loader import batches_in_order
from ple_jax.data.read import check_columns, read
from ple_jax.data.source import Chunks
from ple_jax.data.unknown import UnknownIds
from ple_jax.runs.directory import Run
from ple_jax.schema import Schema
from ple_jax.serve.files import Loaded, check_unknown
from ple_jax.splits import Split
from ple_jax.train.feed import ahead


def measure_files(
    run: Run,
    loaded: Loaded,
    files: Iterable[str | pathlib.Path],
    allow_unknown: bool = False,
) -> dict[str, Any]:
    """Exact metrics of the rows of files, as `measure_chunks` gives them."""
    chunks = read(files, labelled(run.data.schema))
    return measure_chunks(run, loaded, chunks, allow_unknown)


def measure_table(
    run: Run, loaded: Loaded, table: pa.Table, allow_unknown: bool = False
) -> dict[str, Any]:
    """Exact metrics of the rows of a table, as `measure_chunks` gives them."""
    if not len(table):
        raise ValueError(f"{ORIGIN} has no rows.")
    schema = labelled(run.data.schema)
    check_columns(table.column_names, schema, True, pathlib.Path(ORIGIN))
    return measure_chunks(run, loaded, chunks_of(table), allow_unknown)


def labelled(schema: Schema) -> Schema:
    """What measuring needs: no column of splits or keys, and any others beside."""
    free = dataclasses.replace(schema, split=Split(), keys=())
    return dataclasses.replace(free, ignored=("*",), leaking=())


def measure_chunks(
    run: Run, loaded: Loaded, chunks: Chunks, allow_unknown: bool = False
) -> dict[str, Any]:
    """Exact metrics of raw rows with labels, and their intervals, like a split's.

    The rows need the columns of inputs, labels, users and weights. Says on stderr what
    share of the values of a field train does not have. Memory holds labels and logits
    of all rows.

    Raises:
        ValueError: A row does not fit the schema, a score is not finite, or all values
            of a field are unknown and `allow_unknown` is false.
    """
    (scorer, variables), unknown = loaded, UnknownIds()
    schema, encoder = labelled(run.data.schema), run.data.encoder

    def encoded() -> Iterator[Examples]:
        for chunk in chunks:
            yield encoder.encode(rows_of(chunk, schema), unknown=unknown)

    logits, targets = [], []
    for examples in ahead(encoded()):
        batches = batches_in_order(examples, scorer.batch_size)
        logits.append(scorer.plain_logits(variables, batches))
        targets.append(without_inputs(examples).arrays())
    check_unknown(run, unknown, allow_unknown)
    merged = {k: np.concatenate([one[k] for one in targets]) for k in targets[0]}
    return scorer.report_of(np.concatenate(logits), Examples.of(merged))


def without_inputs(examples: Examples) -> Examples:
    """The examples with what measuring needs alone, which is small."""
    empty = lambda array: np.zeros((len(examples), 0), array.dtype)
    ids, numbers = empty(examples.ids), empty(examples.numbers)
    return dataclasses.replace(examples, ids=ids, bags={}, numbers=numbers)
