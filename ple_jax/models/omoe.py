"""One-gate mixture of experts (Ma et al., KDD 2018)."""

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.batch_last import networks, turned, turned_back
from ple_jax.layers.experts import Level, everyone_sees_all
from ple_jax.layers.groups import Grouping, Groups, own_towers
from ple_jax.models.common import check_groups


class OMoE(nn.Module):
    """Experts that one gate mixes for all tasks.

        z_t = tower_t(sum_e softmax(W x)_e f_e(x))

    Attributes:
        num_tasks: T.
        num_domains: N.
        groups: Whether towers belong to tasks, domains, or pairs of both; each example
            gets its own domain's logits.
        num_experts: E.
        expert_dims: Widths of the layers of each expert.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.
        gate_use_bias: Whether gates have a bias; the paper's have none.

    Reference: Ma et al., KDD 2018, section 4.2, equation 5.
    """

    num_tasks: int
    num_domains: int = 1
    groups: Groups = "tasks"
    num_experts: int = 8
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0
    batch_norm: bool = False
    gate_use_bias: bool = False

    def __post_init__(self):
        checks.at_least(1, num_experts=self.num_experts)
        checks.dims(expert_dims=self.expert_dims, tower_dims=self.tower_dims)
        checks.rate(dropout_rate=self.dropout_rate)
        check_groups(self.groups, self.batch_norm)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task."""
        options = (self.dropout_rate, self.batch_norm)
        grouping = Grouping(self.groups, self.num_tasks, self.num_domains)
        bias, columns = self.gate_use_bias, grouping.columns
        routing = everyone_sees_all(num_gates=1, num_experts=self.num_experts)
        level = Level(routing, self.expert_dims, *options, bias, columns, name="level")
        # The only gate's mixture, taken where edges cancel.
        x = networks(turned(level(x, x, train), columns), 0, columns)
        x = turned_back(x, columns)
        return own_towers(x, domain, train, grouping, self.tower_dims, *options)


build = OMoE
