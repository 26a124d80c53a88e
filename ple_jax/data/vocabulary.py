"""The values of a table and their ids: fitted on train, looked up for any row."""

import pathlib
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ple_jax.data.arrow import (
    changed_by_plain_spelling,
    is_missing,
    plain_spelling,
)
from ple_jax.data.text_index import TextIndex

COLUMNS = ["value", "count", "id"]


def pool_rare(whole: pa.Table, min_count: int, rare: bool) -> pa.Table:
    """The values of a vocabulary that occur at least `min_count` times.

    If `rare`, a null comes after them: it counts all others and has an id of its own.
    """
    enough = pc.greater_equal(whole["count"], min_count)
    kept = whole if pc.all(enough).as_py() else whole.filter(enough)
    if not rare:
        return kept
    total = lambda table: pc.sum(table["count"]).as_py() or 0
    row = [[None], [total(whole) - total(kept)], [len(kept) + 1]]
    return pa.concat_tables([kept, pa.table(row, schema=whole.schema)]).combine_chunks()


class Lookup:
    """Finds the ids of values; builds what it searches once."""

    def __init__(self, vocabulary: pa.Table):
        known = vocabulary["value"].drop_null().combine_chunks()
        self.rare = len(vocabulary) if len(known) < len(vocabulary) else 0
        self._index = TextIndex(known)

    @property
    def known(self) -> pa.Array:
        """The values that have an id of their own, most frequent first."""
        return self._index.texts

    def index(self) -> None:
        """Builds what `ids` builds when it first needs it."""
        _ = self._plain

    @cached_property
    def _plain(self) -> tuple[TextIndex, np.ndarray]:
        """The plain spellings of values that have another, and the values' places."""
        places = changed_by_plain_spelling(self.known)
        return TextIndex(plain_spelling(self.known.take(pa.array(places)))), places

    def _find_plain(self, plain: pa.Array) -> np.ndarray:  # (n,) int64
        """The first place of a value of this plain spelling, or -1."""
        index, places = self._plain
        other = np.r_[places, len(self.known)][index.find(plain)]
        same = self._index.find(plain)
        first = np.minimum(np.where(same < 0, len(self.known), same), other)
        return np.where(first < len(self.known), first, -1)

    def ids(self, values: pa.Array) -> np.ndarray:  # (values,) int32
        """The id of each distinct value; 0 if it is unknown or missing.

        A number, time or truth value that is written in another way than in train is
        found by its value.
        """
        place = self._index.find(values)
        lost = (place < 0) & ~is_missing(values)
        if lost.any():
            again = plain_spelling(values.filter(pa.array(lost)))
            place[lost] = self._find_plain(again)
        return place.astype(np.int32) + np.int32(1)

    def pool(self, values: pa.Array, ids: np.ndarray) -> np.ndarray:  # (values,) int32
        """The ids that `ids` found, where unknown values have the rare one, if any."""
        unknown = (ids == 0) & ~is_missing(values)
        return np.where(unknown, np.int32(self.rare), ids)


def read_vocabulary(path: pathlib.Path) -> pa.Table:
    """Reads what an encoder saved.

    Raises:
        ValueError: The file is damaged; names it.
    """
    table = read_parquet(path)
    if table.column_names != COLUMNS:
        raise ValueError(
            f"{path} is damaged: it has the columns {table.column_names}, expected "
            "value, count and id."
        )
    return table


def read_parquet(path: pathlib.Path) -> pa.Table:
    """Reads a Parquet file of ours, with its checksums."""
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
