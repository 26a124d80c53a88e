"""Random arrays and parameters, and assertions about trees of arrays."""

from functools import partial

import jax
import numpy as np


def random_params(module, *args, seed=0):
    """Variables of `module` without compiling `init`, and with no bias left at zero."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *args)["params"]
    return random_like(shapes, seed)


def random_like(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: rng.normal(0, 0.3, s.shape).astype(s.dtype), shapes)


def random_array(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def widened(tree):
    return jax.tree.map(np.float64, tree)


def assert_close(got, want, rtol=1e-5, atol=1e-5):
    """Trees of one structure, whose numbers differ by rounding only."""
    near = partial(np.testing.assert_allclose, rtol=rtol, atol=atol)
    compare(near, got, want)


def assert_same(got, want):
    """Trees of one structure, equal to the bit."""
    compare(np.testing.assert_array_equal, got, want)


def compare(assert_equal, got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    leaves = zip(jax.tree.leaves_with_path(got), jax.tree.leaves(want), strict=True)
    for (path, mine), other in leaves:
        assert_equal(mine, other, err_msg=jax.tree_util.keystr(path))


def assert_gradient(loss, value, params, rtol=1e-5):
    """The gradient of `loss` is the slope of `value` along a random direction.

    Both run in float64, so that they differ only where the equations do.
    """
    wide = widened(params)
    rng = np.random.default_rng(0)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), wide)
    move = lambda t: jax.tree.map(lambda p, d: p + t * d, wide, direction)
    with jax.enable_x64(True):
        grads = jax.device_get(jax.jit(jax.grad(loss))(wide))
        want = (value(move(1e-6)) - value(move(-1e-6))) / 2e-6
    parts = jax.tree.map(lambda g, d: (np.float64(g) * d).sum(), grads, direction)
    np.testing.assert_allclose(sum(jax.tree.leaves(parts)), want, rtol=rtol)
