"""Finds strings among many: what is searched is built once, for any number of searches.

Arrow's `index_in` builds its hash table anew at each call, which takes far longer than
to look up what a chunk of rows holds.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.hashing import hash_texts

PIECE = 1 << 20  # strings whose hashes are computed at once


class TextIndex:
    """Finds the places of strings (n,) among others (V,), by sorted 64-bit hashes.

    It takes 12 bytes a string. Strings of equal hashes are compared.
    """

    def __init__(self, texts: pa.Array):
        self.texts = texts.cast(pa.large_string())
        size = len(texts)
        hashes = np.empty(size, np.uint64)
        for first in range(0, size, PIECE):
            some = self.texts.slice(first, PIECE)
            hashes[first : first + len(some)] = hash_texts(some)
        # The last one is what a search beyond all others meets.
        self._order = np.full(size + 1, -1, np.int32)
        self._order[:size] = np.argsort(hashes, kind="stable")
        self._hashes = np.full(size + 1, 2**64 - 1, np.uint64)
        self._hashes[:size] = hashes[self._order[:size]]

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
