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
