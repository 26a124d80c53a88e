"""Finds strings among many: what is searched is built once, for any number of searches.

Arrow's `index_in` builds its hash table anew at each call, which takes far longer than
to look up what a chunk of rows holds.
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.data.split import mix

LONG = 512  # bytes of a text from which on it is hashed on its own
PIECE = 1 << 20  # strings whose hashes are computed at once


class TextIndex:
    """Finds the places of strings (n,) among others (V,), by sorted 64-bit hashes.

    It takes 12 bytes a string. Strings of equal hashes are compared.
    """

    def __init__(self, texts: pa.Array):
        self.texts = texts.cast(pa.large_string())
        pieces = range(0, len(texts), PIECE)
        hashes = [hashes_of(self.texts.slice(first, PIECE)) for first in pieces]
        whole = np.concatenate([np.zeros(0, np.uint64), *hashes])
        order = np.argsort(whole, kind="stable").astype(np.int32)
        # The last one is what a search beyond all others meets.
        self._hashes = np.r_[whole[order], np.uint64(2**64 - 1)]
        self._order = np.r_[order, np.int32(-1)]

    def find(self, wanted: pa.Array) -> np.ndarray:  # (n,) int64
        """The first place of each string; -1 for null, and where it is not there."""
        wanted = wanted.cast(pa.large_string())
        hashes = hashes_of(wanted)
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


def hashes_of(texts: pa.Array) -> np.ndarray:  # (n,) uint64
    """Hashes large strings (n,) by their UTF-8, eight bytes at a time.

        h <- mix(h XOR w, i)

    for the words w of eight bytes, with their numbers i from 1 on; h is at first the
    length, mixed. It is the same on any machine; null has some hash.
    """
    offsets = np.frombuffer(texts.buffers()[1] or bytes(8), np.int64)
    offsets = offsets[texts.offset : texts.offset + len(texts) + 1]
    text = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    text = np.r_[text[offsets[0] : offsets[-1]], np.zeros(8, np.uint8)]
    words = np.ndarray((len(text) - 7,), "<u8", text, strides=(1,))  # one at each byte
    starts, left = offsets[:-1] - offsets[0], np.diff(offsets)
    hashes = mix(left.astype(np.uint64), 0)
    for i in np.flatnonzero(left >= LONG):
        whole = text[starts[i] : starts[i] + left[i]].tobytes()
        digest = hashlib.blake2b(whole, digest_size=8).digest()
        hashes[i] = int.from_bytes(digest, "little")
    rows, number = np.arange(len(left)), 0
    left = np.where(left < LONG, left, 0)
    while (more := left > 0).any():
        if not more.all():
            rows, starts, left = rows[more], starts[more], left[more]
        number += 1
        unused = 64 - 8 * np.minimum(left, 8).astype(np.uint64)
        word = words[starts] << unused  # the bytes of the next string are shifted out
        hashes[rows] = mix(hashes[rows] ^ word, number)
        starts, left = starts + 8, left - 8
    return hashes
