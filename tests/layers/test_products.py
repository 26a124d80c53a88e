"""Stacked dense layers with the batch last, beside loops over networks and examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_close

from ple_jax.layers.batch_last import BATCH_LAST, Dense
from ple_jax.layers.experts import stack

E = 2
# D, H, B: either side of the choices between two products, forward and backward
SIZES = [(3, 2, 11), (3, 5, 7), (131, 5, 7)]


def layer_and_gradients(kernel, x, dy, one_input):
    layer = stack(Dense, E, one_input=one_input, axis=BATCH_LAST, features=dy.shape[1])
    bias = jnp.zeros(kernel.shape[::2])
    apply = lambda k, x: layer.apply({"params": {"kernel": k, "bias": bias}}, x)
    y, pull_back = jax.vjp(apply, kernel, x)
    return y, *pull_back(dy)


def loops(kernel, x, dy, one_input):
    of = lambda e: x if one_input else x[e]
    y = np.zeros_like(dy)
    of_kernel, of_x = np.zeros_like(kernel), np.zeros_like(x)
    for e in range(E):
        into = of_x if one_input else of_x[e]
        for b in range(dy.shape[2]):
            y[e, :, b] = of(e)[:, b] @ kernel[e]
            of_kernel[e] += np.outer(of(e)[:, b], dy[e, :, b])
            into[:, b] += kernel[e] @ dy[e, :, b]
    return y, of_kernel, of_x


def drawn(rng, inputs, hidden, batch, one_input):
    x = (inputs, batch) if one_input else (E, inputs, batch)
    shapes = (E, inputs, hidden), x, (E, hidden, batch)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


@pytest.mark.parametrize("one_input", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_networks_and_gradients_are_loops(size, one_input):
    arrays = drawn(np.random.default_rng(0), *size, one_input)
    got = layer_and_gradients(*arrays, one_input)
    for each, want in zip(got, loops(*arrays, one_input), strict=True):
        assert_close(each, want)


@pytest.mark.parametrize("size", SIZES)
def test_trials_side_by_side_are_trials_alone(size):
    rng = np.random.default_rng(1)
    trials = [drawn(rng, *size, True) for _ in range(3)]
    together = jax.vmap(lambda *a: layer_and_gradients(*a, True))
    got = together(*map(np.stack, zip(*trials, strict=True)))
    for i, trial in enumerate(trials):
        for each, want in zip(got, loops(*trial, True), strict=True):
            assert_close(each[i], want)


@pytest.mark.parametrize(("inputs", "hidden", "batch"), SIZES)
def test_kernels_gradient_comes_in_rows_of_the_smaller_transpose(inputs, hidden, batch):
    arrays = drawn(np.random.default_rng(2), inputs, hidden, batch, True)
    run = jax.jit(lambda *a: layer_and_gradients(*a, True)[1])
    text = run.lower(*arrays).compile().as_text()
    orders = f"f32[{inputs},{E * hidden}]", f"f32[{E * hidden},{inputs}]"
    wanted, other = reversed(orders) if inputs > 128 else orders
    assert wanted in text
    assert other not in text
