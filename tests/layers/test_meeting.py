"""A level whose shared gate mixes all domains' experts gives what the whole does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_close, random_array, random_params

from ple_jax.layers.experts import Level, own_and_shared
from ple_jax.layers.groups import Grouping
from ple_jax.layers.meeting import Meeting

B, N, T, D, H = 13, 3, 2, 7, 5
DOMAIN = np.array([2, 0, 2, 2, 0, 2, 2, 0, 2, 2, 0, 2, 2], np.int32)  # none of 1
GROUPING = Grouping("tasks_domains", T, N)
CASES = {  # own experts of a domain's groups, shared ones, and inputs if not one
    "one input": ((2, 1), 2),
    "an input each": ((2, 1), 2, N * T + 1),
    "none shared": ((2, 1), 0),
    "none owned": ((0, 0), 2),
}


def start(own, shared, groups=None, **options):
    """The whole level, its meeting, parameters of both, and an input."""
    level = Level(own_and_shared(own * N, shared, True), (11, H), **options)
    meeting = Meeting(level, GROUPING, own_and_shared(own, shared), shared)
    x = random_array(*((B, D) if groups is None else (B, groups, D)))
    return level, meeting, random_params(level, x, x), x


def own_rows(y):
    """Of all mixtures (B, G + 1, H), the domain's own and the shared gate's."""
    rows = [[*range(T * n, T * n + T), -1] for n in DOMAIN]
    return y[np.arange(B)[:, None], np.array(rows)]


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_the_whole_level(case):
    level, meeting, params, x = start(*CASES[case], gate_use_bias=True)
    weigh = random_array(B, T + 1, H, seed=3)

    def run(mixtures):
        def loss(params, x):
            y = mixtures({"params": params}, x)
            return jnp.sum(weigh * jnp.sin(y)), y

        return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(params, x)

    got = run(lambda variables, x: meeting.apply(variables, x, DOMAIN))
    want = run(lambda variables, x: own_rows(level.apply(variables, x, x)))
    jax.tree.map(functools.partial(assert_close, rtol=1e-5, atol=1e-5), got, want)


def test_parameters_start_as_those_of_the_whole_level():
    level, meeting, _, x = start((2, 1), 2)
    key = jax.random.key(3)
    got, want = jax.jit(meeting.init)(key, x, DOMAIN), jax.jit(level.init)(key, x, x)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_weights_of_own_gates_and_of_the_shared_one_can_be_watched():
    level, meeting, params, x = start((2, 1), 2)
    variables, mutable = {"params": params}, ["intermediates"]
    _, seen = meeting.apply(variables, x, DOMAIN, mutable=mutable)
    _, all_seen = level.apply(variables, x, x, mutable=mutable)
    (own,) = seen["intermediates"]["level/mixture"]
    (shared,) = seen["intermediates"]["shared_mixture"]
    (want,) = all_seen["intermediates"]["mixture"]
    assert_close(shared, want[:, -1], rtol=1e-5, atol=1e-6)
    columns = [[*range(3 * n, 3 * n + 3), 3 * N, 3 * N + 1] for n in DOMAIN]
    mine = own_rows(want)[:, :T]
    picked = np.take_along_axis(mine, np.array(columns)[:, None], axis=2)
    assert_close(own, picked, rtol=1e-5, atol=1e-6)


def test_domains_drop_units_of_their_own():
    _, meeting, params, _ = start((2, 1), 2, dropout_rate=0.5)
    same = jax.tree.map(lambda leaf: np.full_like(leaf, 0.1), params)
    x = np.ones((B, D), np.float32)
    run = functools.partial(meeting.apply, {"params": same}, x, train=True)
    once = run(DOMAIN, rngs={"dropout": jax.random.key(0)})
    np.testing.assert_array_equal(
        once, run(DOMAIN, rngs={"dropout": jax.random.key(0)})
    )
    other = run(np.ones(B, np.int32), rngs={"dropout": jax.random.key(0)})
    np.testing.assert_array_equal(once[:, -1], other[:, -1])
    assert (once[:, :T] != other[:, :T]).any()


def test_backward_keeps_the_experts_outputs_and_little_else():
    batch, number = 1024, 32
    level = Level(own_and_shared([2] * number, 1, True), (64,))
    one = own_and_shared([2], 1)
    meeting = Meeting(level, Grouping("domains", T, number), one, 1)
    x, domain = jnp.zeros((batch, 16)), jnp.arange(batch) % number
    params = jax.eval_shape(meeting.init, jax.random.key(0), x, domain)
    loss = lambda params: meeting.apply(params, x, domain).sum()
    compiled = jax.jit(jax.grad(loss)).lower(params).compile()
    outputs = 4 * batch * (2 * number + 1) * 64
    assert compiled.memory_analysis().temp_size_in_bytes < 1.5 * outputs
