"""Progressive layered extraction (Tang et al., RecSys 2020)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.layers.experts import MLP, Level, own_and_shared, stack
from ple_jax.layers.groups import Grouping, Groups, own_heads, own_towers
from ple_jax.models.common import check_groups, expert_counts


class PLE(nn.Module):
    """Levels of shared and task experts, extracted progressively.

        g^{k,0} = x
        g^{k,j} = sum_e softmax(W^{k,j} g^{k,j-1})_e f_e^j(g^{owner(e),j-1})
        z_k     = tower_k(g^{k,J})

    At each level, task k mixes its own experts and the shared ones; the shared group,
    which the last level does not have, mixes all. The level before selects.

    Attributes:
        num_tasks: T.
        num_domains: N.
        groups: Whether gates, own experts and towers belong to tasks, domains, or pairs
            of both; each example gets its own domain's logits.
        num_levels: J, levels of experts and gates; 1 is CGC.
        experts_per_task: Experts that a task owns at each level: one number for all, or
            one each (the same in each domain); with groups = "domains", a domain.
        shared_experts: Experts that all tasks see, at each level.
        expert_dims: Widths of the layers of each expert, at every level.
        level_widths: Widths of single-layer experts, one for each level, in place of
            expert_dims; the paper narrows from level to level.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.
        gate_use_bias: Whether gates have a bias; the paper's have none.

    With domains, the last level is worked off by each domain on its own examples; the
    levels below it need all experts for every example, since the shared gate mixes all.

    Reference: Tang et al., RecSys 2020, section 4.2, equations 6 and 7.
    """

    num_tasks: int
    num_domains: int = 1
    groups: Groups = "tasks"
    num_levels: int = 2
    experts_per_task: int | tuple[int, ...] = 2
    shared_experts: int = 2
    expert_dims: tuple[int, ...] = (64,)
    level_widths: tuple[int, ...] = ()
    tower_dims: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0
    batch_norm: bool = False
    gate_use_bias: bool = False

    def __post_init__(self):
        checks.at_least(1, num_levels=self.num_levels)
        checks.at_least(0, shared_experts=self.shared_experts)
        checks.dims(expert_dims=self.expert_dims, level_widths=self.level_widths)
        checks.dims(tower_dims=self.tower_dims)
        checks.rate(dropout_rate=self.dropout_rate)
        check_groups(self.groups, self.batch_norm)
        self._own_experts()
        if self.level_widths and len(self.level_widths) != self.num_levels:
            raise ValueError(
                f"level_widths needs one width for each of the {self.num_levels} "
                f"levels, got {list(self.level_widths)}."
            )
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
        options, own = (self.dropout_rate, self.batch_norm), self._own_experts()
        for j, dims in enumerate(self._dims()):
            last = j == self.num_levels - 1
            if last and grouping.by_domain:
                return self._of_domains(x, domain, train, grouping, own, dims)
            everyone = own * (grouping.total // grouping.in_domain)
            routing = own_and_shared(
                everyone, self.shared_experts, shared_gate=not last
            )
            bias, columns = self.gate_use_bias, grouping.columns
            level = Level(routing, dims, *options, bias, columns, name=f"level_{j}")
            x = level(x, x, train)  # (B, G+1, H), and (B, G, H) from the last
        return own_towers(x, domain, train, grouping, self.tower_dims, *options)

    def _of_domains(self, x, domain, train, grouping, own, dims) -> jax.Array:
        """The last level: shared experts on all examples, the rest by domain."""
        count, rate = self.shared_experts, self.dropout_rate
        of_shared, x = (
            (x, x) if x.ndim == 2 else (x[:, -1], grouping.own(x[:, :-1], domain))
        )
        if count:
            experts = stack(MLP, count, one_input=True)
            given = experts(dims, rate, train=train, name="shared")(of_shared)
        else:
            given = jnp.zeros((x.shape[0], 0, dims[-1]), x.dtype)
        options = dims, self.tower_dims, rate, self.gate_use_bias
        routing = own_and_shared(own, count, given=True)
        return own_heads(x, given, domain, train, grouping, routing, *options)

    def _own_experts(self) -> list[int]:
        grouping = Grouping(self.groups, self.num_tasks, self.num_domains)
        return expert_counts(
            grouping.in_domain, self.experts_per_task, self.shared_experts
        )

    def _dims(self) -> tuple[tuple[int, ...], ...]:
        if self.level_widths:
            return tuple((width,) for width in self.level_widths)
        return (self.expert_dims,) * self.num_levels


build = PLE
