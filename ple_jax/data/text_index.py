"""Finds strings among many: what is searched is built once, for any number of searches.

Arrow's `index_in` builds its hash table anew at each call, which takes far longer than
to look up what a chunk of rows holds.
"""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.hashing import hash_texts
from ple_jax.data.spill import PARTS, PIECE, Spill, part_of


class TextIndex:
    """Finds the places of strings (n,) among others (V,), by sorted 64-bit hashes.

    It takes 20 bytes a string, and its text; on disk, if there is a place for what
    memory should not hold. Strings of equal hashes are compared.
    """

    def __init__(self, texts: pa.Array | pa.ChunkedArray, spill: Spill | None = None):
        empty = spill.empty if spill else np.empty
        self.texts = spill.join(texts) if spill else _joined(texts)
        size = len(texts)
        hashes = empty(size, np.uint64)
        for first in range(0, size, PIECE):
            some = self.texts.slice(first, PIECE)
            hashes[first : first + len(some)] = hash_texts(some)
        # The last one is what a search beyond all others meets.
        self._hashes, self._order = (
            empty(size + 1, np.uint64),
            empty(size + 1, np.int32),
        )
        self._hashes[size], self._order[size] = 2**64 - 1, -1
        self._sort(hashes)

    def _sort(self, hashes: np.ndarray) -> None:
        """Sorts hashes (V,) and their places: first by a few bits, then each part."""
        pieces = range(0, len(hashes), PIECE)
        numbers = (part_of(hashes[first : first + PIECE]) for first in pieces)
        counted = [np.bincount(n, minlength=PARTS) for n in numbers]
        sizes = np.array(counted, np.int64).reshape(-1, PARTS)
        starts = np.r_[0, np.cumsum(sizes.sum(axis=0))]
        free = starts[:-1].copy()
        for first, counts in zip(pieces, sizes, strict=True):
            some = hashes[first : first + PIECE]
            order = np.argsort(part_of(some), kind="stable")
            # The k-th of those of a part goes to the k-th place that is free there.
            shift = np.repeat(free - np.cumsum(counts) + counts, counts)
            at = np.arange(len(some)) + shift
            self._hashes[at], self._order[at] = some[order], first + order
            free += counts
        for start, end in itertools.pairwise(starts):
            part, places = self._hashes[start:end], self._order[start:end]
            order = np.argsort(part, kind="stable")
            part[:], places[:] = part[order], places[order]

    def find(self, wanted: pa.Array) -> np.ndarray:  # (n,) int64
        """The first place of each string; -1 for null, and where it is not there."""
        wanted = wanted.cast(pa.large_string())
        hashes = hash_texts(wanted)
        by_hash = np.argsort(hashes)  # near ones are near in memory
        at = np.empty(len(hashes), np.int64)
        at[by_hash] = np.searchsorted(self._hashes, hashes[by_hash])
        place = np.where(self._hashes[at] == hashes, self._order[at], -1)
        there = np.flatnonzero(place >= 0)
        found = self.texts.take(pa.array(place[there]))
        same = pc.fill_null(pc.equal(found, wanted.take(pa.array(there))), False)
        other = there[~same.to_numpy(zero_copy_only=False)]
        if len(other):  # another text of the same hash, or null
            again = wanted.take(pa.array(other))
            exact = pc.index_in(again, self.texts, skip_nulls=True)
            place[other] = pc.fill_null(exact, -1).to_numpy()
        return place


def _joined(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    whole = texts.cast(pa.large_string())
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
