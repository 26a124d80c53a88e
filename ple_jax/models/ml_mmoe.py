"""Multi-level MMoE, as the PLE paper compares with."""

import flax.linen as nn
import jax

from ple_jax.layers.experts import Level, Towers, everyone_sees_all
from ple_jax.models import _checks


class MLMMoE(nn.Module):
    """MMoE on top of levels whose gates feed one expert of the next level each.

        h_e = f_e^1(x)
        h_e = f_e^j(sum_i softmax(W_e^j x)_i h_i),   j = 2 .. num_levels
        z_t = tower_t(sum_e softmax(W_t x)_e h_e)

    Every gate selects by the input x.

    Attributes:
        num_tasks: T.
        num_domains: N; the model does not look at the domain.
        num_experts: E, of every level.
        num_levels: Levels of experts; 1 is MMoE.
        expert_dims: Widths of the layers of each expert.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.
        gate_use_bias: Whether gates have a bias; the paper's have none.

    Reference: Tang et al., RecSys 2020, section 5.1.2 and figure 1h.
    """

    num_tasks: int
    num_domains: int = 1
    num_experts: int = 3
    num_levels: int = 2
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0
    batch_norm: bool = False
    gate_use_bias: bool = False

    def __post_init__(self):
        _checks.at_least(1, num_experts=self.num_experts, num_levels=self.num_levels)
        _checks.dims(expert_dims=self.expert_dims, tower_dims=self.tower_dims)
        _checks.rate(dropout_rate=self.dropout_rate)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32, not looked at
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task."""
        options, selector = (self.dropout_rate, self.batch_norm), x
        for level in range(self.num_levels):
            last = level == self.num_levels - 1
            gates = self.num_tasks if last else self.num_experts
            routing = everyone_sees_all(gates, self.num_experts, owned=level > 0)
            mix = Level(
                routing,
                self.expert_dims,
                *options,
                self.gate_use_bias,
                name=f"level_{level}",
            )
            x = mix(x, selector, train)
        return Towers(self.num_tasks, self.tower_dims, *options, name="towers")(
            x, train
        )


build = MLMMoE
