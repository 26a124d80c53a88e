"""Checksums of arrays, wherever they lie, and of JSON.

CRC-32 of bytes finds every change within 32 bits in a row, and all others but one in
2^32. It is taken on the host, as its 4 GB/s are a fraction of the time that a write
takes; a program on the device would take longer to compile than that.
"""

import json
import math
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from ple_jax.parallel import processes
from ple_jax.train import crc
from ple_jax.train.counted_rows import CountedRows
from ple_jax.types import PyTree

THREADS = min(4, os.cpu_count() or 1)
ALL_ROWS = CountedRows()
SMALL = 2**24  # bytes that are read sooner than threads start


def of_tree(tree: PyTree, rows: CountedRows = ALL_ROWS) -> dict[str, str]:
    """Path -> checksum of each array of a tree, of its `rows` that count.

    Arrays that lie in several processes have the same as elsewhere; all processes must
    call this.
    """
    leaves = jax.tree.leaves_with_path(tree)
    arrays = {jax.tree_util.keystr(p, simple=True, separator="/"): a for p, a in leaves}
    split = {name for name, array in arrays.items() if is_split(array)}
    whole = {n: a for n, a in arrays.items() if n not in split}
    found = _mapped(lambda name, array: of_array(array, rows, name.split("/")), whole)
    if split:
        of_own = lambda name, array: parts_of(array, rows, name.split("/"))
        mine = _mapped(of_own, {n: a for n, a in arrays.items() if n in split})
        each = processes.from_all(mine)
        found |= {n: of_parts([p for of in each for p in of[n]]) for n in split}
    return {name: found[name] for name in arrays}


def _mapped(function: Callable, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """What a function gives of each array, in threads if they are large."""
    if sum(array.nbytes for array in arrays.values()) < SMALL:
        return {name: function(name, array) for name, array in arrays.items()}
    with ThreadPoolExecutor(THREADS) as pool:  # zlib lets go of the interpreter
        found = pool.map(function, arrays, arrays.values())
        return dict(zip(arrays, found, strict=True))


def is_split(array: Any) -> bool:
    """Whether no process holds the whole array."""
    return isinstance(array, jax.Array) and not (
        array.is_fully_addressable or array.is_fully_replicated
    )


Part = tuple[int, int, int, int]  # place in all axes before, start, CRC-32, bytes


def parts_of(array: jax.Array, rows: CountedRows, path: Sequence[str]) -> list[Part]:
    """The slices that this process holds of an array split along one axis.

    Each is in as many parts as the axes before that one have places, such as those of
    trials: so parts in order are the array's values in C order.
    """
    found = []
    for shard in array.addressable_shards:
        held = shard.data.shape
        axis = next((i for i, n in enumerate(held) if n < array.shape[i]), 0)
        start = shard.index[axis].start or 0
        part = rows.cut(path, np.asarray(shard.data), start)
        if shard.replica_id == 0:
            of_places = part.reshape(math.prod(held[:axis]), -1)
            for place, values in enumerate(of_places):
                flat: Any = np.ascontiguousarray(values).view(np.uint8)
                found.append((place, start, zlib.crc32(flat), values.nbytes))
    return found


def of_parts(parts: Sequence[Part]) -> str:
    """The checksum of an array out of those of its parts, in any order."""
    total = 0
    for *_, check, size in sorted(parts):
        total = crc.joined(total, check, size)
    return f"{total:08x}"


def of_array(
    array: jax.Array | np.ndarray,
    rows: CountedRows = ALL_ROWS,
    path: Sequence[str] = (),
) -> str:
    """CRC-32 of an array's values in C order, 8 hex digits; whatever its sharding."""
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    flat = np.ascontiguousarray(rows.cut(path, np.asarray(array))).reshape(-1)
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
