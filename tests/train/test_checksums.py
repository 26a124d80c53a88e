"""Checksums of arrays and records: the same wherever they lie, and never blind."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ple_jax.train import checksums
from ple_jax.train.counted_rows import CountedRows

KINDS = ["bfloat16", "float32", "int8", "uint8", "int32", "uint32", "bool", "float16"]


def bits(array):
    """The bytes of an array, which can be changed in place."""
    return array.reshape(-1).view(np.uint8)


@pytest.mark.parametrize("kind", [*KINDS, "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 5)])
def test_every_flipped_bit_changes_the_checksum(kind, shape):
    dtype = jnp.dtype(kind)
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    wanted, flipped = checksums.of_array(array), array.copy().reshape(shape)
    for i in range(array.nbytes):
        for bit in range(8):
            bits(flipped)[i] ^= 1 << bit
            assert checksums.of_array(flipped) != wanted, (i, bit)
            bits(flipped)[i] ^= 1 << bit
    assert checksums.of_array(flipped) == wanted


def test_flips_of_two_signs_and_swaps_change_it():
    """A weighted sum of the bits would miss the former."""
    array = np.sin(np.arange(1, 1000)).astype(np.float32)
    wanted = checksums.of_array(array)
    for first, second in [(0, 1), (3, 500), (128, 998)]:
        signs, swapped = array.copy(), array.copy()
        signs[[first, second]] *= -1
        swapped[[first, second]] = swapped[[second, first]]
        assert wanted not in (checksums.of_array(signs), checksums.of_array(swapped))


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_on_a_device_has_the_checksum_of_its_bytes(kind):
    array = np.arange(35).reshape(7, 5).astype(jnp.dtype(kind))
    assert checksums.of_array(jnp.asarray(array)) == checksums.of_array(array)
    assert checksums.of_array(array) == checksums.of_bytes(array.tobytes())


def test_sharding_does_not_change_it():
    array = np.arange(8 * 3, dtype=np.float32).reshape(8, 3)
    mesh = jax.make_mesh((4,), ("shard",))
    for spec in (("shard",), ()):
        place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
        placed = jax.device_put(array, place)
        assert checksums.of_array(placed) == checksums.of_array(array)


@pytest.mark.parametrize("trials", [(), (3,)])
def test_parts_of_a_split_array_have_that_of_the_whole(trials):
    """Of the rows that count, in any order; trials stand before rows."""
    array = np.random.default_rng(0).normal(size=(*trials, 8, 5)).astype(np.float32)
    axis, rows = len(trials), CountedRows({"table": 7}, len(trials))
    spec = jax.sharding.PartitionSpec(*[None] * axis, "shard")
    place = jax.sharding.NamedSharding(jax.make_mesh((4,), ("shard",)), spec)
    parts = checksums.parts_of(jax.device_put(array, place), rows, ["table"])
    assert len(parts) == 4 * math.prod(trials)
    wanted = checksums.of_array(array[..., :7, :].copy())
    assert checksums.of_parts(parts[::-1]) == wanted
    assert checksums.of_array(array, rows, ["table"]) == wanted


def test_transposed_arrays_are_taken_in_their_own_order():
    array = np.arange(15, dtype=np.int32).reshape(3, 5)
    assert checksums.of_array(array.T) == checksums.of_array(array.T.copy())
    assert checksums.of_array(array.T) != checksums.of_array(array)


def test_empty_arrays_and_keys_have_checksums():
    assert checksums.of_array(np.zeros((0, 3), np.float32)) == "00000000"
    key, other = jax.random.key(0), jax.random.key(1)
    data = jax.random.key_data(key)
    assert checksums.of_array(key) == checksums.of_array(data)
    assert checksums.of_array(key) != checksums.of_array(other)


def test_a_tree_has_one_for_each_array_by_its_path():
    tree = {"a": [np.ones((3,)), np.zeros((2,))], "b": {}, "c": (np.ones((3,)),)}
    found = checksums.of_tree(tree)
    assert list(found) == ["a/0", "a/1", "c/0"]
    assert found["a/0"] == found["c/0"] != found["a/1"]
    assert checksums.changed(found, found | {"a/1": "", "d": ""}) == ["a/1", "d"]
    assert checksums.changed(found, {"a/0": found["a/0"]}) == ["a/1", "c/0"]


def test_json_has_one_whatever_the_order_of_its_keys():
    tree = {"a": 1, "b": [0.1, None, "\u00e9"]}
    assert checksums.of_json(tree) == checksums.of_json(dict(reversed(tree.items())))
    assert checksums.of_json(tree) != checksums.of_json(tree | {"a": 2})
