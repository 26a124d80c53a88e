"""One network per task (the single-task models of the PLE and MMoE papers)."""

import flax.linen as nn
import jax

from ple_jax.layers.experts import own_and_shared
from ple_jax.models.common import WithGroups
from ple_jax.types import Array


class SingleTask(WithGroups):
    """Tasks that share nothing but their input.

        z_t = tower_t(f_t(x))

    Attributes:
        expert_dims: Widths of the layers of each task's own bottom.

    Reference: Tang et al., RecSys 2020, section 5.1.2.
    """

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task."""
        routing = own_and_shared([1] * self.grouping.in_domain, shared=0)
        return self.apply_last_level(
            x, x, domain, train, routing=routing, dims=self.expert_dims, level="bottom"
        )


build = SingleTask
