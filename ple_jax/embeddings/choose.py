"""Decides which tables are updated by rows, and which each device has a copy of."""

import jax

from ple_jax.checks import is_off
from ple_jax.config.experiment import Train
from ple_jax.embeddings.tables import Tables

# On CPU, one sparse lookup costs as much as densely updating this many rows and this
# many floats: measured by `benchmarks/cost_of_tables.py --auto`.
AUTO_ROWS_AN_ID, AUTO_FLOATS_AN_ID = 3, 40
AUTO_ROWS_ELSEWHERE = 10_000_000  # bound by memory: not measured yet


def is_updated_by_rows(tables: Tables, name: str, train: Train) -> bool:
    """Whether a fused table is updated by rows; a frozen one is, at no cost."""
    if tables.fused[name][1]:
        return True
    if tables.inputs.update != "auto":
        return tables.inputs.update == "rows"
    ids, width = train.batch_size * tables.lookups(name), tables.row_width(name)
    least = auto_rows(ids, width)
    return tables.rows(name) >= least and is_off(train.average_decay)


def auto_rows(ids: int, width: int) -> int:
    """The table size V above which sparse updates win, given the ids of a batch.

    V >= 3 ids + 40 ids / W   on CPU
    """
    if jax.default_backend() != "cpu":
        return AUTO_ROWS_ELSEWHERE
    return AUTO_ROWS_AN_ID * ids + AUTO_FLOATS_AN_ID * ids // width


def replicated(tables: Tables, train: Train) -> frozenset[str]:
    """The fused tables that are copied to every device: small ones, updated whole.

        V <= B S

    for V rows, padding included, and the B S ids that the batch of all devices reads.
    Devices then sum the gradient of V rows. Else a table is split by rows: devices sum
    the B S rows that they read, and gather their gradients (benchmarks/README.md).
    """
    if tables.shards == 1 or train.batch_size % tables.shards:  # which do not train
        return frozenset()
    ids = {name: train.batch_size * tables.lookups(name) for name in tables.fused}
    dense = [name for name in ids if not is_updated_by_rows(tables, name, train)]
    return frozenset(n for n in dense if tables.offsets[n][""] <= ids[n])
