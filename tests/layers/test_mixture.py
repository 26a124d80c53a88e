"""Mixing experts by gates against loops, and its gradient against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_close, assert_gradient, assert_same, random_array

from ple_jax.layers.batch_last import BATCH_FIRST, BATCH_LAST
from ple_jax.layers.experts import MLP
from ple_jax.layers.mixture import (
    MOST_PAIRS,
    PART,
    mixture,
    pairwise_sum,
    weighted_sum,
)

B, G, E = 3, 2, 5
# Without a whole part, with nothing but parts, and with some units left over.
HIDDEN = (1, 13, PART, 2 * PART, 2 * PART + 5)
every_width = pytest.mark.parametrize("hidden", HIDDEN)


def by_loops(weights, outputs):
    mixed = np.zeros((weights.shape[0], *outputs.shape[1:]), weights.dtype)
    for g, e, h, b in np.ndindex(*weights.shape[:2], *outputs.shape[1:]):
        mixed[g, h, b] += weights[g, e, b] * outputs[e, h, b]
    return mixed


@every_width
def test_a_mixture_is_the_weighted_sum(hidden):
    weights, outputs = random_array(G, E, B), random_array(E, hidden, B)
    got = jax.jit(weighted_sum)(weights, outputs)
    np.testing.assert_allclose(got, by_loops(weights, outputs), rtol=1e-5, atol=1e-5)


@every_width
def test_the_gradient_of_a_mixture_matches_finite_differences(hidden):
    params = {"weights": random_array(G, E, B), "outputs": random_array(E, hidden, B)}
    loss = lambda p: jnp.sum(weighted_sum(p["weights"], p["outputs"]) ** 2)
    value = lambda p: (by_loops(p["weights"], p["outputs"]) ** 2).sum()
    assert_gradient(loss, value, params)


@pytest.mark.parametrize("experts", [E, MOST_PAIRS // G + 1])
def test_a_mixture_is_the_same_with_the_batch_first_or_last(experts):
    weights, outputs = random_array(B, G, experts), random_array(B, experts, 7)
    moved = (np.moveaxis(x, 0, -1) for x in (weights, outputs))
    got = np.moveaxis(mixture(*moved, BATCH_LAST), -1, 0)
    want = mixture(weights, outputs, BATCH_FIRST)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_a_mixture_in_bfloat16_adds_up_in_float32():
    one = jnp.ones((1, 1000, 1), jnp.bfloat16)
    ones = jnp.ones((1000, 1, 1), jnp.bfloat16).at[0].set(256)
    mixed, pull_back = jax.vjp(weighted_sum, one, ones)
    assert mixed.dtype == jnp.bfloat16
    assert mixed.item() == 1256  # 256 + 1 is 256 in bfloat16
    grads = pull_back(jnp.ones_like(mixed))
    assert {g.dtype for g in grads} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("number", range(1, 12))
def test_each_term_is_added_once(number):
    assert pairwise_sum([jnp.float32(2**i) for i in range(number)]) == 2**number - 1


@pytest.mark.parametrize("batch_norm", [False, True])
def test_an_mlp_is_the_same_with_the_batch_first_or_last(batch_norm):
    x, options = random_array(11, 7), {"batch_norm": batch_norm, "train": True}
    first, last = (MLP((13, 5), axis=a, **options) for a in (BATCH_FIRST, BATCH_LAST))
    variables = first.init(jax.random.key(0), x)
    assert_same(last.init(jax.random.key(0), x.T), variables)
    want, _ = first.apply(variables, x, mutable=["batch_stats"])
    got, _ = last.apply(variables, x.T, mutable=["batch_stats"])
    assert_close(got.T, want)
