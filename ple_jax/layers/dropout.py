"""Dropout whose rate may be an argument of the program."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.checks import is_off


class Dropout(nn.Module):
    """Units dropped at random, the others scaled up to keep the mean.

        y = x / (1 - rate) with chance 1 - rate, otherwise 0

    The same bits as Flax's layer of this name, which must know its rate.

    Attributes:
        rate: Chance that a unit is dropped; a plain 0 costs nothing.
        deterministic: Whether to drop none.
    """

    rate: float | jax.Array
    deterministic: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The units that are kept."""
        if self.deterministic or is_off(self.rate):
            return x
        return dropped(self.make_rng("dropout"), x, self.rate)


def dropped(key: jax.Array, x: jax.Array, rate: float | jax.Array) -> jax.Array:
    """Each number of `x` dropped with chance `rate`."""
    keep = 1 - rate
    return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0)
