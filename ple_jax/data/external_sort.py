"""Sorts counts of values that memory does not hold, as a vocabulary.

By samples: parts are sorted alone; a sample of all of them tells where to cut the order
into ranges of about one size; and what all parts have of a range is sorted again.

Reference: Frazer & McKellar, Samplesort, JACM 1970.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.spill import COLUMNS, PIECE, Spill

ORDER = [("count", "descending"), ("value", "ascending")]
SAMPLES = 32  # of a range: its size is within a third or so of what is wanted


def sort_counts(parts: Iterable[pa.Table], spill: Spill, most_text: int) -> pa.Table:
    """value, count, id, most frequent first: mapped from a file, not held in memory.

    Args:
        parts: value and count, in tables that have no value in common.
        spill: Where the file is, and how much memory sorting may take.
        most_text: The bytes of all values from which on they are `large_string`.
    """
    ordered, text = [], 0
    for part in parts:
        text += pc.sum(pc.binary_length(part["value"])).as_py() or 0
        ordered.append(spill.keep([part.sort_by(ORDER).combine_chunks()], COLUMNS))
    kind = pa.string() if text <= most_text else pa.large_string()
    schema = pa.schema([("value", kind), ("count", pa.int64()), ("id", pa.int32())])
    ranges = (each.sort_by(ORDER) for each in _ranges(ordered, spill.piece))
    return spill.keep(_numbered(_even(ranges), schema), schema)


class _Keys:
    """The rows of a sorted table, as they compare."""

    def __init__(self, table: pa.Table):
        self.columns = table["count"], table["value"]

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, row: int) -> tuple[int, bytes]:
        count, value = (column[row] for column in self.columns)
        return -count.as_py(), value.as_buffer().to_pybytes()


def _ranges(ordered: Sequence[pa.Table], most: int) -> Iterator[pa.Table]:
    """What sorted tables have of each range of their order, of about so many bytes."""
    keys = list(map(_Keys, ordered))
    count = 1 + sum(table.nbytes for table in ordered) // most
    step = max(1, sum(map(len, ordered)) // (count * SAMPLES))
    sample = sorted(key[row] for key in keys for row in range(0, len(key), step))
    ends = [[bisect_left(key, cut) for key in keys] for cut in sample[SAMPLES::SAMPLES]]
    starts = [0] * len(keys)
    for stops in [*ends, list(map(len, keys))]:
        places = zip(ordered, starts, stops, strict=True)
        yield pa.concat_tables([t.slice(a, b - a) for t, a, b in places])
        starts = stops


def _even(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of `PIECE` each, which are Parquet's row groups."""
    left = COLUMNS.empty_table()
    for table in tables:
        left = pa.concat_tables([left, table])
        while len(left) >= PIECE:
            yield left.slice(0, PIECE)
            left = left.slice(PIECE)
    yield left


def _numbered(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Adds ids, from 1 on."""
    first = 1
    for table in tables:
        ids = pa.array(np.arange(first, first + len(table)), pa.int32())
        yield table.combine_chunks().append_column("id", ids).cast(schema)
        first += len(table)
