"""The values of a table and their ids: fitted on train, looked up for any row."""

import pathlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from ple_jax.data.spill import Spill
from ple_jax.data.text_index import TextIndex

COLUMNS = ["value", "count", "id"]
READ_AT_ONCE = 1 << 20  # values of a vocabulary


def pool_rare(whole: pa.Table, min_count: int, rare: bool) -> pa.Table:
    """The values of a vocabulary that occur at least `min_count` times.

    If `rare`, a null comes after them: it counts all others and has an id of its own.
    """
    enough = pc.sum(pc.greater_equal(whole["count"], min_count)).as_py() or 0
    kept = whole.slice(0, enough)  # the most frequent come first
    if not rare:
        return kept
    total = lambda table: pc.sum(table["count"]).as_py() or 0
    row = [[None], [total(whole) - total(kept)], [len(kept) + 1]]
    return _append(kept, pa.table(row, schema=whole.schema))


def _append(table: pa.Table, row: pa.Table) -> pa.Table:
    """Adds a row to the last chunk, so that Parquet has the same pages for any."""
    batches = table.to_batches()
    of = lambda some: pa.Table.from_batches(some, table.schema)
    last = pa.concat_tables([of(batches[-1:]), row]).combine_chunks()
    return pa.concat_tables([of(batches[:-1]), last])


class Lookup:
    """Finds the ids of values; builds what it searches once.

    Args:
        vocabulary: value, count and id; a null comes last, and pools what is rare.
        spill: Where that goes which memory should not hold.
    """

    def __init__(self, vocabulary: pa.Table, spill: Spill | None = None):
        values = vocabulary["value"]
        self.rare = len(values) if values.null_count else 0
        self._index = TextIndex(values.slice(0, len(values) - values.null_count), spill)
        self._spill = spill

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
        plain = plain_spelling(self.known.take(pa.array(places)))
        return TextIndex(plain, self._spill), places

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


class Saved(Mapping[str, pa.Table]):
    """Table -> the vocabulary in its file; a long one is read when it is first used.

    Raises:
        ValueError: A file is damaged; names it.
    """

    def __init__(self, paths: Mapping[str, pathlib.Path]):
        self._paths, self._tables = paths, dict[str, pa.Table]()
        self.sizes = {table: _size_of(path) for table, path in paths.items()}
        for table, size in self.sizes.items():
            if size <= READ_AT_ONCE:
                _ = self[table]

    def __getitem__(self, table: str) -> pa.Table:
        """Reads it once."""
        if table not in self._tables:
            self._tables[table] = read_parquet(self._paths[table])
        return self._tables[table]

    def __iter__(self) -> Iterator[str]:
        """The names of all tables."""
        return iter(self._paths)

    def __len__(self) -> int:
        """How many tables there are."""
        return len(self._paths)


def size_of(vocabularies: Mapping[str, pa.Table], table: str) -> int:
    """How many values a table has; reads none."""
    if isinstance(vocabularies, Saved):
        return vocabularies.sizes[table]
    return len(vocabularies[table])


def rows_of(path: pathlib.Path) -> int:
    """How many rows a Parquet file of ours has."""
    with _damage(path):
        return pq.read_metadata(path).num_rows


def _size_of(path: pathlib.Path) -> int:
    with _damage(path):
        facts = pq.read_metadata(path)
    if (found := facts.schema.names) != COLUMNS:
        raise ValueError(
            f"{path} is damaged: it has the columns {found}, expected value, count and "
            "id."
        )
    return facts.num_rows


def read_parquet(path: pathlib.Path) -> pa.Table:
    """Reads a Parquet file of ours, with its checksums."""
    with _damage(path):
        return pq.read_table(path, page_checksum_verification=True)


@contextmanager
def _damage(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
