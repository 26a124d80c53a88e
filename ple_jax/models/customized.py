"""Customized sharing, as the PLE paper compares with."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.layers.batch_last import BATCH_LAST
from ple_jax.models.common import WithExperts
from ple_jax.types import Array


class Customized(WithExperts):
    """Each task reads a shared bottom and its own, side by side.

        z_t = tower_t([f_s(x), f_t(x)])

    Attributes:
        num_domains: N; the model ignores the domain.
        shared: Whether to have a shared bottom; without it these are single tasks.
        expert_dims: Widths of the layers of each bottom.

    Cost: grows with T, by a bottom and a tower each; flat in N.

    Reference: Tang et al., RecSys 2020, section 3.2 and figure 1c.
    """

    shared: bool = True

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task."""
        # One product for all bottoms; the shared one comes last.
        outputs = self.apply_bottoms(x, self.num_tasks + self.shared, train)
        own = outputs[: self.num_tasks]  # (T, H, B)
        if self.shared:
            shared = jnp.broadcast_to(outputs[-1:], own.shape)
            own = jnp.concatenate([shared, own], axis=1)
        return self.apply_towers(BATCH_LAST.leave(own), train)


build = Customized
