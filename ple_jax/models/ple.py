"""Progressive layered extraction (Tang et al., RecSys 2020)."""

from typing import Annotated

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.experts import own_and_shared
from ple_jax.models.common import WithGates
from ple_jax.space import OneOf
from ple_jax.types import Array


class PLE(WithGates):
    """Levels of shared and task experts, extracted progressively.

        g^{k,0} = x
        g^{k,j} = sum_e softmax(W^{k,j} g^{k,j-1})_e f_e^j(g^{owner(e),j-1})
        z_k     = tower_k(g^{k,J})

    At each level, task k mixes its own experts and the shared ones. The shared group
    mixes all experts; the last level has no shared group. The previous level's output
    selects.

    Attributes:
        num_levels: J, levels of experts and gates; 1 is CGC.
        experts_per_task: Experts that a task owns at each level: one number for all, or
            one each (the same in each domain). With groups = "domains", those that a
            domain owns.
        shared_experts: Experts that all tasks see, at each level.
        expert_dims: Widths of the layers of each expert, at every level.
        level_widths: Widths of single-layer experts, one for each level, instead of
            expert_dims; the paper narrows from level to level.

    With domains, each domain runs the last level on its own examples only. The levels
    below run all experts on every example, since the shared gate mixes all of them.

    Reference: Tang et al., RecSys 2020, section 4.2, equations 6 and 7.
    """

    num_levels: Annotated[int, OneOf(1, 2, 3)] = 2
    experts_per_task: Annotated[int | tuple[int, ...], OneOf(1, 2, 4)] = 2
    shared_experts: Annotated[int, OneOf(1, 2, 4)] = 2
    level_widths: tuple[int, ...] = ()

    def __post_init__(self):
        checks.at_least(1, num_levels=self.num_levels)
        checks.at_least(0, shared_experts=self.shared_experts)
        checks.dims(level_widths=self.level_widths)
        if self.level_widths and len(self.level_widths) != self.num_levels:
            raise ValueError(
                f"level_widths needs one width for each of the {self.num_levels} "
                f"levels, got {list(self.level_widths)}."
            )
        own, shared = self.own_experts, self.shared_experts
        if len(own) != self.grouping.in_domain:
            raise ValueError(
                "experts_per_task needs one number for each of the "
                f"{self.grouping.in_domain} tasks, got {own}."
            )
        if min(own) < 0 or min(own) + shared < 1:
            raise ValueError(
                f"Every task must see an expert, got experts_per_task = {own} and "
                f"shared_experts = {shared}."
            )
        super().__post_init__()

    @property
    def own_experts(self) -> list[int]:
        """How many experts each group of a domain owns."""
        own = self.experts_per_task
        return [own] * self.grouping.in_domain if isinstance(own, int) else list(own)

    @property
    def level_dims(self) -> list[tuple[int, ...]]:
        """The widths of each level's experts."""
        if not self.level_widths:
            return [self.expert_dims] * self.num_levels
        return [(width,) for width in self.level_widths]

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task."""
        grouping, own, shared = self.grouping, self.own_experts, self.shared_experts
        *lower, last = self.level_dims
        everyone = own * (grouping.total // grouping.in_domain)
        for j, dims in enumerate(lower):
            routing = own_and_shared(everyone, shared, shared_gate=True)
            level = self.make_level(routing, dims, name=f"level_{j}")
            x = level(x, x, train)  # (B, G+1, H)
        common, mine = x, x
        if grouping.by_domain and lower:
            common, mine = x[:, -1], grouping.own(x[:, :-1], domain)
        return self.apply_last_level(
            common,
            mine,
            domain,
            train,
            routing=own_and_shared(own, shared),
            dims=last,
            level=f"level_{len(lower)}",
            shared=shared,
        )


build = PLE
