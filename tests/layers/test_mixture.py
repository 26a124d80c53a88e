"""Mixing experts by gates against loops, and its gradient against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_close, assert_gradient, assert_same, random_array

from ple_jax.layers.batch_last import BATCH_FIRST, BATCH_LAST
from ple_jax.layers.experts import MLP, everyone_sees_all, own_and_shared
from ple_jax.layers.mixture import (
    PART,
    mixture,
    pairwise_sum,
    softmax_last,
    sum_over_hidden,
    weighted_sum,
)
from ple_jax.layers.patterns import patterns_of

B, H = 3, 13
VISIBLE = {
    "two tasks": own_and_shared([2, 2], 2, shared_gate=True).visible,
    "no neighbours": own_and_shared([1, 3, 2], 2, shared_gate=True).visible,
    "one each": own_and_shared([1, 1, 1], 0).visible,
    "everyone": everyone_sees_all(2, 5).visible,
    "by another step": ((0, 1), (1, 2), (3, 4)),
    "out of order": ((4, 0, 1), (2, 0), (3, 1)),
    "given but unseen": ((1,), (3,)),
}
every_pattern = pytest.mark.parametrize("visible", VISIBLE.values(), ids=VISIBLE)
# Without a whole part, with nothing but parts, and with some units left over.
every_width = pytest.mark.parametrize("hidden", [1, 5, PART, 2 * PART, 2 * PART + 5])


def arrays(visible, hidden=H, experts=5):
    """Patterns, their weights (gates, each, B), and outputs (E, H, B)."""
    patterns = tuple(patterns_of(visible))
    weights = [random_array(p.gates, p.each, B) for p in patterns]
    return patterns, weights, random_array(max(experts, most(visible)), hidden, B)


def most(visible):
    return 1 + max(max(experts) for experts in visible)


def by_loops(visible, weights, outputs):
    mixed = np.zeros((len(visible), *outputs.shape[1:]), outputs.dtype)
    of_gates = [gate for pattern in weights for gate in pattern]
    for g, experts in enumerate(visible):
        for weight, e in zip(of_gates[g], experts, strict=True):
            for h, b in np.ndindex(*outputs.shape[1:]):
                mixed[g, h, b] += weight[b] * outputs[e, h, b]
    return mixed


@every_pattern
def test_a_mixture_is_the_weighted_sum(visible):
    patterns, weights, outputs = arrays(visible)
    got = jax.jit(weighted_sum, static_argnums=0)(patterns, weights, outputs)
    assert_close(got, by_loops(visible, weights, outputs))


@every_pattern
def test_the_gradient_of_a_mixture_matches_finite_differences(visible):
    patterns, weights, outputs = arrays(visible)
    params = {"weights": weights, "outputs": outputs}
    loss = lambda p: jnp.sum(weighted_sum(patterns, p["weights"], p["outputs"]) ** 2)
    value = lambda p: (by_loops(visible, p["weights"], p["outputs"]) ** 2).sum()
    assert_gradient(loss, value, params)


@every_pattern
def test_a_mixture_is_the_same_with_the_batch_first_or_last(visible):
    patterns, weights, outputs = arrays(visible)
    want = np.moveaxis(mixture(patterns, weights, outputs, BATCH_LAST), -1, 0)
    first = lambda x: np.moveaxis(x, -1, 0)
    got = mixture(patterns, [first(w) for w in weights], first(outputs), BATCH_FIRST)
    assert_close(got, want)


@pytest.mark.parametrize("tasks", [2, 8, 32])
def test_tasks_that_own_equally_many_experts_are_one_pattern(tasks):
    routing = own_and_shared([2] * tasks, 3, shared_gate=True)
    of_tasks, of_shared = routing.patterns
    assert (of_tasks.gates, of_tasks.each) == (tasks, 5)
    assert (of_shared.gates, of_shared.each) == (1, 2 * tasks + 3)
    assert len(everyone_sees_all(tasks, 7).patterns) == 1


@every_width
def test_a_sum_over_hidden_units_adds_each_once(hidden):
    a, b = random_array(2, 1, hidden, B), random_array(1, 5, hidden, B)
    assert_close(sum_over_hidden(a, b), (a * b).sum(-2))


@pytest.mark.parametrize("each", [1, 2, 5])
def test_a_softmax_with_the_batch_last_is_the_usual_one(each):
    logits, grads = 100 * random_array(2, each, B), random_array(2, each, B)
    usual = lambda logits: jax.nn.softmax(logits, axis=1)
    got, pull_back = jax.vjp(softmax_last, logits)
    want, pull_usual = jax.vjp(usual, logits)
    assert_close(got, want)
    assert_close(pull_back(grads)[0], pull_usual(grads)[0])


def test_a_mixture_in_bfloat16_adds_up_in_float32():
    patterns = everyone_sees_all(1, 1000).patterns
    one = jnp.ones((1, 1000, 1), jnp.bfloat16)
    ones = jnp.ones((1000, 1, 1), jnp.bfloat16).at[0].set(256)
    mix = lambda *arrays: weighted_sum(patterns, *arrays)
    mixed, pull_back = jax.vjp(mix, [one], ones)
    assert mixed.dtype == jnp.bfloat16
    assert mixed.item() == 1256  # 256 + 1 is 256 in bfloat16
    grads = jax.tree.leaves(pull_back(jnp.ones_like(mixed)))
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
