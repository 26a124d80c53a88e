"""Dropout whose rate may be an argument of the program."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.checks import is_off


class Dropout(nn.Module):
    """Drops units at random and scales up the rest to keep the mean.

        y = x / (1 - rate) with probability 1 - rate, otherwise 0

    Gives the same bits as flax's Dropout, whose rate cannot be traced.

    Attributes:
        rate: Probability of dropping a unit; a plain 0 adds nothing to the program.
        deterministic: Whether to keep all units.
    """

    rate: float | jax.Array
    deterministic: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Drops units of `x`."""
        if self.deterministic or is_off(self.rate):
            return x
        return drop(self.make_rng("dropout"), x, self.rate)


def drop(key: jax.Array, x: jax.Array, rate: float | jax.Array) -> jax.Array:
    """Drops each number of `x` with probability `rate`."""
    keep = 1 - rate
    return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0)
