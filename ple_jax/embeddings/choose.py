"""Which tables are updated by rows, where `auto` chooses."""

import jax

from ple_jax.checks import is_off
from ple_jax.config.experiment import Train
from ple_jax.embeddings.tables import Tables

# On CPU an id that is looked up costs, by rows, what so many rows and so many floats of
# a table cost that is updated whole: measured by `benchmarks/cost_of_tables.py --auto`.
AUTO_ROWS_AN_ID, AUTO_FLOATS_AN_ID = 3, 40
AUTO_ROWS_ELSEWHERE = 10_000_000  # bound by memory: not measured yet


def by_rows(tables: Tables, name: str, train: Train) -> bool:
    """Whether a fused table is updated by rows."""
    if tables.inputs.update != "auto":
        return tables.inputs.update == "rows"
    width, _ = tables.fused[name]
    least = auto_rows(train.batch_size * tables.lookups(name), width)
    return tables.offsets[name][""] >= least and is_off(train.average_decay)


def auto_rows(ids: int, width: int) -> int:
    """From how many rows on updating by rows is the faster, with so many ids a batch.

    3 ids + 40 ids / W   on CPU
    """
    if jax.default_backend() != "cpu":
        return AUTO_ROWS_ELSEWHERE
    return AUTO_ROWS_AN_ID * ids + AUTO_FLOATS_AN_ID * ids // width
