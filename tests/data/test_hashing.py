"""Hashes of texts are those of the formula, and stay what they are."""

import numpy as np
import pyarrow as pa

from ple_jax.data.hashing import LONG, hash_texts, mix


def hash_by_hand(text):
    content = text.encode()
    hashed = mix(np.array([len(content)], np.uint64), 0)
    for i, at in enumerate(range(0, len(content), 8), 1):
        piece = content[at : at + 8]
        word = int.from_bytes(piece, "little") << 8 * (8 - len(piece))
        hashed = mix(hashed ^ np.uint64(word), i)
    return int(hashed[0])


def test_hashes_are_those_of_the_formula():
    texts = ["", "a", "b", "ab", "x" * 8, "x" * 7 + "é", "user-000000017", "y" * 41]
    found = hash_texts(pa.array(["skipped", *texts], pa.large_string())[1:])
    assert found.tolist() == list(map(hash_by_hand, texts))
    assert found[1] == 976388007174397696  # pinned: it must never change


def test_different_texts_have_different_hashes():
    base = "z" * (3 * LONG)
    long = [base, base + "z", "y" + base[1:], base[:LONG] + "y" + base[LONG + 1 :]]
    short = [*map(str, range(5003)), "", "\0", "\0\0", "ä", "a" * 8, "a" * 9]
    for kind in (pa.string(), pa.large_string()):
        hashes = hash_texts(pa.array(["pad", *short, *long], kind)[1:])
        assert len(np.unique(hashes)) == len(short) + len(long)
    assert hash_texts(pa.array(["pad", None, ""]))[1:].tolist() == [hashes[5003]] * 2
    assert hash_texts(pa.array([], pa.string())).tolist() == []
