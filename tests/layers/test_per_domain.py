"""Work by domain against loops over one example at a time."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.arrays import (
    assert_close,
    assert_same,
    random_array,
    random_params,
    widened,
)
from lib.oracles import softmax

from ple_jax.layers.experts import Level, Towers, own_and_shared
from ple_jax.layers.groups import Head
from ple_jax.layers.per_domain import PRIVATE, Blocks, PerDomain, by_domain

# Distinct primes: a swapped axis or a wrong count cannot go unnoticed.
D, H, OUT = 5, 7, 3
# Examples and domains: one block a domain or several, each of them 1 or the greater.
SHAPES = [(29, 3), (13, 1), (1, 1), (1, 5), (2, 7), (13, 17)]
every_shape = pytest.mark.parametrize(("batch", "domains"), SHAPES)
both_ways = pytest.mark.parametrize("on_accelerator", [False, True])


def mixes(batch, domains):
    """The domains of a batch: any of them may be absent, or the only one."""
    present = st.sets(st.integers(0, domains - 1), min_size=1).map(sorted)
    many = lambda some: st.lists(st.sampled_from(some), min_size=batch, max_size=batch)
    return present.flatmap(many).map(functools.partial(np.array, dtype=np.int32))


def function(shared, own, rows, ints):
    """One of every kind: shared and private, rows of two ranks, whole numbers."""
    x, z = rows
    hidden = jnp.tanh(x @ shared)
    scale = (z * (1 + ints))[:, None]
    return {"y": scale * (hidden @ own["w"]) + own["b"][None], "hidden": hidden}


def arguments(batch, domains, seed=0):
    array = lambda *shape: random_array(*shape, seed=[seed, *shape])
    private = {"w": array(domains, H, OUT), "b": array(domains, OUT)}
    rows = array(batch, D), array(batch)
    return array(D, H), private, rows, np.arange(batch) % 3


def alike(tree, values):
    """In the precision of the values."""
    return jax.tree.map(lambda leaf, value: leaf.astype(value.dtype), tree, values)


def cotangents(batch):
    return {"y": random_array(batch, OUT), "hidden": random_array(batch, H)}


@functools.partial(jax.jit, static_argnums=5)
def results(shared, private, rows, ints, domain, on_accelerator):
    """Values, and what `cotangents` pulls back to the shared, the private, the rows."""
    call = lambda *floats: by_domain(function, *floats, ints, domain, on_accelerator)
    values, pull_back = jax.vjp(call, shared, private, rows)
    return values, *pull_back(alike(cotangents(len(domain)), values))


@jax.jit
def result_of_one(shared, own, rows, ints, cotangent):
    call = lambda *floats: function(*floats, ints)
    values, pull_back = jax.vjp(call, shared, own, rows)
    return values, *pull_back(alike(cotangent, values))


def loop(shared, private, rows, ints, domain):
    """`results`, an example at a time."""
    total, of_private = np.zeros_like(shared), jax.tree.map(np.zeros_like, private)
    values, of_rows, pulls = [], [], cotangents(len(domain))
    for i, n in enumerate(domain):
        at = lambda tree, i=i: jax.tree.map(lambda leaf: leaf[i : i + 1], tree)
        own = jax.tree.map(lambda leaf, n=n: leaf[n], private)
        one = result_of_one(shared, own, at(rows), at(ints), at(pulls))
        values.append(one[0])
        total += one[1]
        for name, grad in one[2].items():
            of_private[name][n] += grad
        of_rows.append(one[3])
    join = lambda trees: jax.tree.map(lambda *leaves: np.concatenate(leaves), *trees)
    return join(values), total, of_private, join(of_rows)


@both_ways
@every_shape
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_values_and_gradients_equal_a_loop(batch, domains, on_accelerator, data):
    domain = data.draw(mixes(batch, domains))
    *floats, ints = arguments(batch, domains)
    args = *widened(floats), ints
    with jax.enable_x64(True):  # sums of float32 in another order may cancel
        got = results(*args, domain, on_accelerator)
        want = loop(*args, domain)
        assert_close(got, want, rtol=1e-10, atol=1e-10)
    absent = np.setdiff1d(np.arange(domains), domain)
    assert not any(np.any(grad[absent]) for grad in got[2].values())


def test_blocks_that_are_full_equal_a_loop():
    """Many blocks of the greatest size for one domain, and one for a single example."""
    domain = np.array([1] + 600 * [0], np.int32)
    args = arguments(601, 2)
    want = loop(*args, domain)
    for way in (False, True):
        assert_close(results(*args, domain, way), want, rtol=1e-4, atol=1e-4)


blocks_of = jax.jit(Blocks.of, static_argnums=1)


@pytest.mark.parametrize(("batch", "domains"), [*SHAPES, (613, 2)])
@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_every_example_has_one_place_in_a_block_of_its_domain(batch, domains, data):
    domain = data.draw(mixes(batch, domains))
    blocks = jax.tree.map(np.asarray, blocks_of(domain, domains))
    most, size = blocks.example.shape
    np.testing.assert_array_equal(
        blocks.example.ravel()[blocks.place], np.arange(batch)
    )
    # Empty places too hold an example of the block's domain.
    np.testing.assert_array_equal(
        domain[blocks.example], np.repeat(blocks.domain[:, None], size, axis=1)
    )
    holding = np.unique(blocks.place // size)
    np.testing.assert_array_equal(holding, np.arange(blocks.used))
    assert blocks.used == sum(-(-np.bincount(domain) // size)) <= most


@both_ways
def test_replicas_train_side_by_side(on_accelerator):
    domain = np.arange(13, dtype=np.int32) % 4
    replicas = [arguments(13, 5, seed) for seed in range(3)]
    _, _, rows, ints = replicas[0]
    shared, private = jax.tree.map(
        lambda *a: np.stack(a), *[args[:2] for args in replicas]
    )
    together = jax.vmap(lambda s, p: results(s, p, rows, ints, domain, on_accelerator))
    got = jax.jit(together)(shared, private)
    for r, args in enumerate(replicas):
        alone = results(*args[:2], rows, ints, domain, on_accelerator)
        assert_close(jax.tree.map(lambda leaf, r=r: leaf[r], got), alone)


@both_ways
def test_steps_in_a_loop_on_the_device_equal_steps_in_python(on_accelerator):
    domain = np.arange(13, dtype=np.int32) % 4
    shared, private, rows, ints = arguments(13, 5)

    def step(_, private):
        grads = results(shared, private, rows, ints, domain, on_accelerator)[2]
        return jax.tree.map(lambda p, g: p - 0.01 * g, private, grads)

    got = jax.jit(lambda p: jax.lax.fori_loop(0, 3, step, p))(private)
    want = functools.reduce(lambda p, i: step(i, p), range(3), private)
    assert_close(got, want)


@both_ways
@given(data=st.data())
@settings(deadline=None, max_examples=20)
def test_a_row_scores_the_same_bits_in_any_mix(on_accelerator, data):
    batch, domains = 29, 3
    domain = data.draw(mixes(batch, domains))
    shared, private, rows, ints = arguments(batch, domains)
    score = lambda *of_row: results(shared, private, *of_row, on_accelerator)[0]
    before = score(rows, ints, domain)

    order = np.array(data.draw(st.permutations(range(batch))))
    moved = jax.tree.map(lambda leaf: leaf[order], (rows, ints, domain))
    assert_same(score(*moved), jax.tree.map(lambda leaf: leaf[order], before))

    kept = np.array(data.draw(st.lists(st.booleans(), min_size=29, max_size=29)))
    others = *arguments(batch, domains, seed=1)[2:], data.draw(mixes(batch, domains))
    keep = lambda mine, other: np.where(
        kept.reshape(-1, *[1] * (mine.ndim - 1)), mine, other
    )
    after = score(*jax.tree.map(keep, (rows, ints, domain), others))
    pick = lambda tree: jax.tree.map(lambda leaf: leaf[kept], tree)
    assert_same(pick(after), pick(before))


@both_ways
@given(data=st.data())
@settings(deadline=None, max_examples=20)
def test_a_row_that_is_not_finite_stays_in_its_domain(on_accelerator, data):
    domain = data.draw(mixes(29, 3))
    shared, private, (x, z), ints = arguments(29, 3)
    i = data.draw(st.integers(0, 28))
    poisoned = x.copy()
    poisoned[i] = np.nan
    healthy = domain != domain[i]
    other = np.arange(3) != domain[i]

    def of_others(x):
        args = shared, private, (x, z), ints, domain, on_accelerator
        values, _, of_private, of_rows = jax.tree.map(np.asarray, results(*args))
        rows = jax.tree.map(lambda leaf: leaf[healthy], (values, of_rows))
        return rows, jax.tree.map(lambda leaf: leaf[other], of_private)

    assert_same(of_others(poisoned), of_others(x))


@both_ways
def test_nothing_grows_as_examples_times_domains(on_accelerator):
    batch, domains = 1009, 101
    args = *arguments(batch, domains), np.zeros(batch, np.int32)
    text = str(jax.make_jaxpr(results, static_argnums=5)(*args, on_accelerator))
    shapes = [
        [int(size) for size in shape.split(",")]
        for shape in re.findall(r"\b(?:bool|[a-z]+\d+)\[([\d,]+)\]", text)
    ]
    assert [batch, OUT] in shapes
    assert not any(batch in shape and domains in shape for shape in shapes)
    assert max(map(np.prod, shapes)) < batch * domains


@both_ways
def test_numpy_arrays_can_be_closed_over(on_accelerator):
    shared, private, rows, ints = arguments(13, 5)
    domain = np.arange(13, dtype=np.int32) % 4
    call = lambda s: by_domain(function, s, private, rows, ints, domain, on_accelerator)
    want = results(shared, private, rows, ints, domain, on_accelerator)[0]
    assert_close(jax.jit(call)(shared), want)


DOMAIN = np.array([2, 0, 2, 2, 0, 2, 2, 2, 2, 2, 0, 2, 2], np.int32)
B, N = len(DOMAIN), 5


def test_each_domain_starts_apart_with_the_fan_in_of_one():
    module = PerDomain(Towers(1, (64,)), N)
    init = jax.jit(module.init)
    params = init(jax.random.key(0), DOMAIN, random_array(B, 50))["params"]
    kernel = np.asarray(params[PRIVATE]["mlp"]["Dense_0"]["kernel"])
    assert kernel.shape == (N, 1, 50, 64)
    assert len(np.unique(kernel[..., 0, 0])) == N
    np.testing.assert_allclose(kernel.std(), 50**-0.5, rtol=0.03)


def test_dropout_differs_between_domains_blocks_and_rows_and_repeats_with_its_key():
    module, x = PerDomain(Towers(1, (64,), dropout_rate=0.5), N), np.ones((B, D), "f")
    params = random_params(module, DOMAIN, x)
    same = jax.tree.map(lambda leaf: np.broadcast_to(leaf[:1], leaf.shape), params)
    apply = jax.jit(functools.partial(module.apply, {"params": same}, train=True))
    drop = lambda seed: apply(DOMAIN, x, rngs={"dropout": jax.random.key(seed)})
    assert len(np.unique(drop(0))) == B
    np.testing.assert_array_equal(drop(0), drop(0))
    assert not np.any(drop(0) == drop(1))
    assert len(np.unique(module.apply({"params": same}, DOMAIN, x))) == 1


def test_gate_weights_come_back_in_the_order_of_the_examples():
    x, given = random_array(B, D), np.zeros((B, 0, H), np.float32)
    # Two experts of the head's own, mixed by its one gate.
    head = Head(Level(own_and_shared([2], 0), (H,)), Towers(1, ()))
    module = PerDomain(head, N)
    params = random_params(module, DOMAIN, x, given)
    apply = functools.partial(module.apply, mutable=["intermediates"])
    _, sown = apply({"params": params}, DOMAIN, x, given)
    (weights,) = sown["intermediates"]["level/mixture"]
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    kernels = params[PRIVATE]["level"]["gates"]["kernel"][DOMAIN]
    want = [softmax(row @ kernel) for row, kernel in zip(x, kernels, strict=True)]
    np.testing.assert_allclose(weights[:, 0], want, rtol=1e-5)


def test_the_backward_pass_repeats_no_product():
    shared, private, rows, ints = arguments(29, 3)
    domain = np.arange(29) % 3
    call = lambda *floats: by_domain(function, *floats, ints, domain, False)["y"].sum()
    both = jax.jit(jax.value_and_grad(call, (0, 1, 2)))
    compiled = both.lower(shared, private, rows).compile()
    # Two products forward, and two backward for each of them.
    assert len(re.findall(r" dot\(", compiled.as_text())) == 6
