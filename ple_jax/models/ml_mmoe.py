"""Multi-level MMoE, as the PLE paper compares with."""

from typing import Annotated

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.experts import everyone_sees_all
from ple_jax.models.levels import WithLevels
from ple_jax.space import OneOf
from ple_jax.types import Array


class MLMMoE(WithLevels):
    """MMoE on top of levels whose gates feed one expert of the next level each.

        h_e = f_e^1(x)
        h_e = f_e^j(sum_i softmax(W_e^j x)_i h_i),   j = 2 .. num_levels
        z_t = tower_t(sum_e softmax(W_t x)_e h_e)

    Every gate selects by the input x.

    Attributes:
        num_experts: E, of every level.
        num_levels: Levels of experts; 1 is MMoE.

    Cost: grows with E by experts, with E^2 by gates and mixtures below the last level,
    and with T E by those of the last, and towers; flat in N.

    Reference: Tang et al., RecSys 2020, section 5.1.2 and figure 1h.
    """

    num_experts: Annotated[int, OneOf(2, 3, 4, 8)] = 3
    num_levels: Annotated[int, OneOf(2, 3)] = 2

    def __post_init__(self):
        checks.at_least(1, num_experts=self.num_experts)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task."""
        selector, (*lower, dims) = x, self.level_dims
        for j, widths in enumerate(lower):
            routing = everyone_sees_all(self.num_experts, self.num_experts, owned=j > 0)
            level = self.make_level(routing, widths, name=f"level_{j}")
            x = self.run_level(level, x, selector, train)
        gates = self.grouping.in_domain
        return self.apply_last_level(
            x,
            selector,
            domain,
            train,
            routing=everyone_sees_all(gates, self.num_experts, owned=len(lower) > 0),
            dims=dims,
            level=f"level_{len(lower)}",
            shared=self.num_experts,
            shared_name="experts",
        )


build = MLMMoE
