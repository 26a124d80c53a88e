"""Bytes of known programs: what they read, write and send."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from ple_jax.parallel.mesh import DATA, make_mesh
from ple_jax.plans.moved import between_devices, group, through_memory
from ple_jax.plans.program import Program, read

N = 4  # devices
ONCE = lambda depth: 1


def program(function, *arguments, **options):
    return Program(jax.jit(function, **options).lower(*arguments).compile().as_text())


def touched(function, *arguments, **options):
    return through_memory(program(function, *arguments, **options), ONCE)


def test_a_product_reads_its_factors_and_writes_its_result():
    x, w = jnp.ones((11, 7)), jnp.ones((7, 5))
    assert touched(jnp.matmul, x, w) == 4 * (11 * 7 + 7 * 5 + 11 * 5)


def test_a_gather_reads_rows_not_the_table():
    table, rows = jnp.ones((10_007, 5)), jnp.arange(13)
    read_rows = touched(lambda t, r: t.at[r].get(mode="promise_in_bounds"), table, rows)
    # Rows are read and written, and their numbers read; twice where they are wrapped.
    assert 4 * (2 * 13 * 5 + 13) <= read_rows <= 4 * (2 * 13 * 5 + 4 * 13)


def test_a_scatter_changes_rows_not_the_table():
    table, rows, part = jnp.ones((10_007, 5)), jnp.arange(13), jnp.ones((13, 5))
    add = lambda t, r, p: t.at[r].add(p, mode="drop")
    bytes_moved = touched(add, table, rows, part, donate_argnums=0)
    assert 4 * (3 * 13 * 5 + 13) <= bytes_moved <= 4 * (3 * 13 * 5 + 4 * 13)
    assert touched(add, table, rows, part) > 4 * 2 * table.size  # it is copied first


def test_a_loop_moves_as_often_as_it_runs():
    x = jnp.ones((17, 17))
    loop = lambda n, x: jax.lax.fori_loop(0, n, lambda i, x: jnp.tanh(x @ x), x)
    known = through_memory(program(lambda x: loop(13, x), x), ONCE)
    open_ = program(loop, 13, x)
    once, often = (through_memory(open_, lambda depth, n=n: n) for n in (1, 13))
    body = (often - once) / 12
    assert 4 * 17 * 17 * 2 <= body <= 4 * 17 * 17 * 7
    assert known == pytest.approx(13 * body, rel=0.1)


SIZE = 4 * 24  # bytes of a device's part


@pytest.mark.parametrize(
    ("collective", "out", "sent"),
    [
        (lambda x: jax.lax.psum(x, DATA), P(), 2 * SIZE * 3 / 4),
        (lambda x: jax.lax.all_gather(x, DATA, tiled=True), P(), SIZE * 3),
        (lambda x: jax.lax.psum_scatter(x, DATA, tiled=True), P(DATA), SIZE * 3 / 4),
        (
            lambda x: jax.lax.all_to_all(x, DATA, 0, 0, tiled=True),
            P(DATA),
            SIZE * 3 / 4,
        ),
        (lambda x: jax.lax.ppermute(x, DATA, [(0, 1), (1, 0)]), P(DATA), SIZE),
        (lambda x: 2 * x, P(DATA), 0),
    ],
)
def test_what_a_collective_sends(collective, out, sent):
    mesh = make_mesh(N)
    apart = jax.shard_map(
        collective, mesh=mesh, in_specs=P(DATA), out_specs=out, check_vma=False
    )
    assert between_devices(program(apart, jnp.ones(N * 24)), ONCE) == sent


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("replica_groups=mesh['a'=8,'b'=3] {'a'}, x=1", 8),
        ("replica_groups=mesh['a'=8,'b'=3] {'a','b'}, x=1", 24),
        ("replica_groups=[2,5]<=[10], x=1", 5),
        ("replica_groups={{0,1,2},{3,4,5}}, x=1", 3),
        ("dimensions={0}", 1),
    ],
)
def test_groups_are_read_in_each_form(groups, size):
    line = read("", "a", "f32[2,3]{1,0}", "all-reduce", "%b", f", {groups}")
    assert group(line) == size


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("f32[7,5]{1,0}", 140),
        ("pred[7]{0}", 7),
        ("bf16[7]{0}", 14),
        ("(s64[3]{0}, /*index=1*/u8[]{:T(256)})", 25),
        ("f8e4m3fn[11]{0}", 11),
    ],
)
def test_bytes_of_each_type(shape, size):
    assert read("", "a", shape, "copy", "", "").size == size


def test_the_dearer_branch_is_what_is_sent():
    mesh = make_mesh(N)

    def body(x, few):
        whole = lambda x: jax.lax.all_gather(x, DATA, tiled=True)[:6]
        part = lambda x: jax.lax.all_gather(x[:2], DATA, tiled=True)[:6]
        return jax.lax.cond(few[0], part, whole, x)

    apart = jax.shard_map(
        body, mesh=mesh, in_specs=(P(DATA), P()), out_specs=P(DATA), check_vma=False
    )
    found = program(apart, jnp.ones(N * 24), np.array([True]))
    assert between_devices(found, ONCE) == 4 * 24 * 3
