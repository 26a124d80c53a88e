"""Values of many, hashed to few: ids, crosses of columns, and n-grams of text.

A hashed combination or n-gram is the first 8 bytes of BLAKE2b of a text in UTF-8, as a
little-endian number, modulo the number of values: the same on every machine and in
every version. So is a hashed id, by `hash_texts`, which takes millions at a time.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
import pyarrow as pa

from ple_jax.data.arrow import is_missing, plain_spelling
from ple_jax.data.hashing import hash_texts
from ple_jax.data.rows import Rows
from ple_jax.derived import Derived


def hash_text(text: str, values: int) -> int:
    """A number from 0 to `values` - 1.

    Example:
        >>> hash_text('["s1", "17"]', 1000)
        290
    """
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % values


def read_hash(rows: Rows, column: Derived) -> pa.Array:  # (B,) int64
    """The hash of each value; equal ones have one, however they are written."""
    codes, values = rows.text(column.of[0])
    hashes = hash_texts(plain_spelling(values)) % np.uint64(column.values or 1)
    hashed = pa.array(hashes.astype(np.int64), mask=is_missing(values))
    return hashed.take(pa.array(codes))


def read_cross(rows: Rows, column: Derived) -> pa.Array:  # (B,) strings or int64
    """One value for each combination of values: their JSON list, or its hash.

    Equal numbers, times and truth values are equal here too, however they are written.
    """
    codes, texts = zip(*map(rows.text, column.of), strict=True)
    each = [plain_spelling(values).to_pylist() for values in texts]
    sizes = [len(values) for values in each]
    found, place = np.unique(np.ravel_multi_index(codes, sizes), return_inverse=True)
    places = zip(*np.unravel_index(found, sizes), strict=True)
    combinations = ([v[i] for v, i in zip(each, at, strict=True)] for at in places)
    values = [_crossed(some, column.values) for some in combinations]
    return pa.array(values).take(pa.array(place))


def _crossed(values: list[str | None], size: int | None) -> str | int | None:
    if None in values:
        return None
    text = json.dumps(values, ensure_ascii=False)
    return text if size is None else hash_text(text, size)


def read_ngrams(rows: Rows, column: Derived) -> pa.Array:  # (B,) lists of int64
    """The hashes of a text's n-grams, each once, in the order of their first places."""
    codes, values = rows.text(column.of[0])
    hashed = cache(lambda gram: hash_text(gram, column.values or 1))
    lists = [
        None if v is None else list(dict.fromkeys(map(hashed, ngrams(v, column))))
        for v in values.to_pylist()
    ]
    return pa.array(lists, pa.list_(pa.int64())).take(pa.array(codes))


def ngrams(text: str, column: Derived) -> Iterator[str]:
    """The n-grams of a text's words, then those of the characters of each word.

    Words are runs of letters, digits and underscores, in one case and one form of
    Unicode (NFKC). The characters of a word begin with "<" and end with ">", as in
    Bojanowski et al. (TACL 2017).

    Example:
        >>> column = Derived("x", "text", ("title",), values=9, characters=(4,))
        >>> list(ngrams("Red hat", column))
        ['w red', 'w hat', 'c <red', 'c red>', 'c <hat', 'c hat>']
    """
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    for n in column.words:
        yield from (f"w {' '.join(run)}" for run in _runs(words, n))
    for word in words:
        for n in column.characters:
            yield from (f"c {''.join(run)}" for run in _runs([*f"<{word}>"], n))


def _runs(items: list[str], length: int) -> Iterable[list[str]]:
    return (items[i : i + length] for i in range(len(items) - length + 1))
