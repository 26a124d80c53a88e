"""Reading fields and bags of a table, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from lib.arrays import random_array

from ple_jax.embeddings.gather import read_fields
from ple_jax.parallel.mesh import DATA, make_mesh
from ple_jax.plans.moved import between_devices
from ple_jax.plans.program import Program

V, W, B, F, LENGTHS = 13, 3, 5, 2, (4, 4, 7)


def draw_rows(seed=0, size=B):
    """Rows with repeats; bags of any size up to theirs, and one that is empty."""
    rng = np.random.default_rng(seed)
    parts = [rng.integers(0, V, (size, F))]
    for length in LENGTHS:
        there = np.arange(length) < rng.integers(0, length - 1, (size, 1))
        parts.append(np.where(there, rng.integers(0, V, (size, length)), V))
    parts[1][0] = V
    return np.concatenate(parts, axis=1).astype(np.int32)


def weights(rows):
    """How much of each table row an output holds: (B, fields, V)."""
    ends = np.cumsum([F, *LENGTHS])
    whole = np.zeros((len(rows), F + len(LENGTHS), V), np.float32)
    for b in range(len(rows)):
        for f in range(F):
            whole[b, f, rows[b, f]] = 1
        for i, length in enumerate(LENGTHS):
            items = [r for r in rows[b, ends[i] : ends[i] + length] if r < V]
            for row in items:
                whole[b, F + i, row] += 1 / len(items)
    return whole


def test_fields_are_rows_and_bags_are_means_forward_and_backward():
    table, rows = random_array(V, W), draw_rows()
    grads = random_array(B, F + len(LENGTHS), W, seed=1)
    value, back = jax.vjp(lambda t: read_fields(t, rows, LENGTHS), jnp.array(table))
    shares = weights(rows)
    np.testing.assert_allclose(value, shares @ table, rtol=1e-5, atol=1e-6)
    want = np.einsum("bfv,bfw->vw", shares, grads)
    np.testing.assert_allclose(back(grads)[0], want, rtol=1e-5, atol=1e-6)


def test_trials_with_batches_of_their_own_read_the_same():
    tables = jnp.array(random_array(2, V, W))
    rows = np.stack([draw_rows(), np.full_like(draw_rows(), V)])
    rows[1, :, :F] = 1  # and nothing but empty bags
    read = lambda table, rows: read_fields(table, rows, LENGTHS)
    value = jax.jit(jax.vmap(read))(tables, rows)
    for i in range(2):
        np.testing.assert_allclose(value[i], read(tables[i], rows[i]), rtol=1e-6)


def test_devices_with_a_copy_each_sum_its_gradient_once():
    """Also of bags, which on CPU are read by a loop."""
    mesh, table, rows = make_mesh(4), random_array(V, W), draw_rows(size=4 * B)
    grads = random_array(len(rows), F + len(LENGTHS), W, seed=1)

    @jax.jit
    def back(table, rows, grads):
        read = lambda table: read_fields(table, rows, LENGTHS, mesh)
        return jax.vjp(read, table)[1](grads)[0]

    split = jax.device_put((rows, grads), NamedSharding(mesh, P(DATA)))
    copied = jax.device_put(table, NamedSharding(mesh, P()))
    want = np.einsum("bfv,bfw->vw", weights(rows), grads)
    np.testing.assert_allclose(back(copied, *split), want, rtol=1e-5, atol=1e-6)
    program = Program(back.lower(copied, *split).compile().as_text())
    sent = between_devices(program, lambda depth: 100)
    assert sent == 2 * table.nbytes * 3 / 4


def test_no_bag_is_written_down_whole():
    """Neither forward nor backward: 100 times the length, the same memory but rows."""

    def temporary(length):
        rows = jax.ShapeDtypeStruct((B, 3 * length), np.int32)
        read = lambda t, rows: (read_fields(t, rows, (length,) * 3) ** 2).sum()
        table = jax.ShapeDtypeStruct((V, 64), np.float32)
        compiled = jax.jit(jax.grad(read)).lower(table, rows).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    embedded = 4 * 64 * B * 3 * 1000
    assert temporary(1000) - temporary(10) < embedded / 8
