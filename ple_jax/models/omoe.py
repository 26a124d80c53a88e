"""One-gate mixture of experts (Ma et al., KDD 2018)."""

from typing import Annotated

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.experts import everyone_sees_all
from ple_jax.models.common import WithGates
from ple_jax.space import OneOf
from ple_jax.types import Array


class OMoE(WithGates):
    """Experts that one gate mixes for all tasks.

        z_t = tower_t(sum_e softmax(W x)_e f_e(x))

    Attributes:
        num_experts: E.

    Cost: grows with E, and with T by towers alone; flat in N.

    Reference: Ma et al., KDD 2018, section 4.2, equation 5.
    """

    num_experts: Annotated[int, OneOf(2, 4, 8, 16)] = 8

    def __post_init__(self):
        checks.at_least(1, num_experts=self.num_experts)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task."""
        routing = everyone_sees_all(num_gates=1, num_experts=self.num_experts)
        level = self.make_level(routing, self.expert_dims, name="level")
        # Take the only gate's mixture where the compiler cancels the transposes.
        axis = self.grouping.axis
        mixtures = axis.enter(self.run_level(level, x, x, train))
        mixed = axis.leave(axis.take(mixtures, 0))
        return self.apply_own_towers(mixed, domain, train)


build = OMoE
