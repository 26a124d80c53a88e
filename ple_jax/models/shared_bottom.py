"""Hard parameter sharing (Caruana, Machine Learning 1997)."""

import flax.linen as nn
import jax

from ple_jax.layers.experts import MLP
from ple_jax.models.common import WithGroups
from ple_jax.types import Array


class SharedBottom(WithGroups):
    """One bottom for all tasks, and a tower for each.

        z_t = tower_t(f(x))

    Attributes:
        expert_dims: Widths of the layers of the bottom.

    Cost: grows with T by towers alone; flat in N.

    Reference: Ma et al., KDD 2018, section 3.1, equation 1.
    """

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task."""
        bottom = MLP(
            self.expert_dims, **self.regularisation, train=train, name="bottom"
        )
        return self.apply_own_towers(bottom(x), domain, train)


build = SharedBottom
