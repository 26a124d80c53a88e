"""Multi-level MMoE, as the PLE paper compares with."""

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.experts import MLP, Level, everyone_sees_all, own_and_shared, stack
from ple_jax.layers.groups import Grouping, Groups, own_heads, own_towers
from ple_jax.models.common import check_groups


class MLMMoE(nn.Module):
    """MMoE on top of levels whose gates feed one expert of the next level each.

        h_e = f_e^1(x)
        h_e = f_e^j(sum_i softmax(W_e^j x)_i h_i),   j = 2 .. num_levels
        z_t = tower_t(sum_e softmax(W_t x)_e h_e)

    Every gate selects by the input x.

    Attributes:
        num_tasks: T.
        num_domains: N.
        groups: Whether the last gates and the towers belong to tasks, domains, or pairs
            of both; each example gets its own domain's logits.
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
    groups: Groups = "tasks"
    num_experts: int = 3
    num_levels: int = 2
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0
    batch_norm: bool = False
    gate_use_bias: bool = False

    def __post_init__(self):
        checks.at_least(1, num_experts=self.num_experts, num_levels=self.num_levels)
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
        grouping = Grouping(self.groups, self.num_tasks, self.num_domains)
        options, selector = (self.dropout_rate, self.batch_norm), x
        for j in range(self.num_levels):
            last = j == self.num_levels - 1
            if last and grouping.by_domain:
                return self._of_domains(x, selector, domain, train, grouping)
            gates = self.num_tasks if last else self.num_experts
            routing = everyone_sees_all(gates, self.num_experts, owned=j > 0)
            dims, bias, columns = self.expert_dims, self.gate_use_bias, grouping.columns
            level = Level(routing, dims, *options, bias, columns, name=f"level_{j}")
            x = level(x, selector, train)
        return own_towers(x, domain, train, grouping, self.tower_dims, *options)

    def _of_domains(self, x, selector, domain, train, grouping) -> jax.Array:
        """The last level's experts on all examples, gates and towers by domain."""
        experts = stack(MLP, self.num_experts, one_input=x.ndim == 2)
        dims, rate = self.expert_dims, self.dropout_rate
        given = experts(dims, rate, train=train, name="experts")(x)
        seen = own_and_shared([0] * grouping.in_domain, self.num_experts, given=True)
        options = seen, dims, self.tower_dims, rate, self.gate_use_bias
        return own_heads(selector, given, domain, train, grouping, *options)


build = MLMMoE
