"""Checksums of arrays, wherever they lie, and of JSON.

CRC-32 of bytes finds every change within 32 bits in a row, and all others but one in
2^32. It is taken on the host, as its 4 GB/s are a fraction of the time that a write
takes; a program on the device would take longer to compile than that.
"""

import json
import os
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from ple_jax.types import PyTree

THREADS = min(4, os.cpu_count() or 1)
SMALL = 2**24  # bytes that are read sooner than threads start


def of_tree(tree: PyTree) -> dict[str, str]:
    """Path -> checksum of each array of a tree."""
    leaves = jax.tree.leaves_with_path(tree)
    names = [jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in leaves]
    arrays = [array for _, array in leaves]
    if sum(array.nbytes for array in arrays) < SMALL:
        return dict(zip(names, map(of_array, arrays), strict=True))
    with ThreadPoolExecutor(THREADS) as pool:  # zlib lets go of the interpreter
        return dict(zip(names, pool.map(of_array, arrays), strict=True))


def of_array(array: jax.Array | np.ndarray) -> str:
    """CRC-32 of an array's values in C order, 8 hex digits; whatever its sharding."""
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    flat = np.ascontiguousarray(array).reshape(-1)
    return of_bytes(flat.view(np.uint8))


def of_json(tree: Any) -> str:
    """CRC-32 of what JSON makes of a tree, with its keys in order."""
    return of_bytes(json.dumps(tree, sort_keys=True).encode())


def of_bytes(content: Any) -> str:
    """CRC-32 in 8 hex digits."""
    return f"{zlib.crc32(content):08x}"


def changed(recorded: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The names whose checksums differ, or that only one side has, in order."""
    names = sorted(recorded.keys() | found.keys())
    return [name for name in names if recorded.get(name) != found.get(name)]
