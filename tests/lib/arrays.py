"""Small things that many tests need."""

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


def assert_gradient(loss, value, params, rtol=1e-5):
    """The gradient of the first is the slope of the second, along some direction.

    In float64, so that the difference is that of the equations.
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
