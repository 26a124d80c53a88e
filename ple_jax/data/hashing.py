"""64-bit hashes of texts and integers, the same in every process and on any machine."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LONG = 512  # bytes of a text from which on it is hashed on its own


def mix(x: np.ndarray, key: int) -> np.ndarray:  # uint64 -> uint64
    """Mixes 64-bit integers by a bijection (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(key % 2**64) * np.uint64(0x9E3779B97F4A7C15)
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def offsets_and_text(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Where each string starts and the last one ends (n + 1,), and all bytes (N,).

    Null is "".
    """
    texts = pc.fill_null(texts, "").cast(pa.large_string())
    offsets = np.frombuffer(texts.buffers()[1] or bytes(8), np.int64)
    offsets = offsets[texts.offset : texts.offset + len(texts) + 1]
    text = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    return offsets - offsets[0], text[offsets[0] : offsets[-1]]


def hash_texts(texts: pa.Array) -> np.ndarray:  # (n,) uint64
    """Hashes strings (n,) by their UTF-8, eight bytes at a time; null is "".

        h <- mix(h XOR w, i)

    for the words w of eight bytes, with their numbers i from 1 on; h is at first the
    length, mixed. It is the same on any machine.
    """
    offsets, text = offsets_and_text(texts)
    text = np.r_[text, np.zeros(8, np.uint8)]
    words = np.ndarray((len(text) - 7,), "<u8", text, strides=(1,))  # one at each byte
    starts, left = offsets[:-1], np.diff(offsets)
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
