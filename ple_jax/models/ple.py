"""Progressive layered extraction (Tang et al., RecSys 2020)."""

from typing import Annotated, Literal

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.experts import Routing, own_and_shared
from ple_jax.layers.groups import OwnLevel
from ple_jax.layers.meeting import Meeting
from ple_jax.layers.per_domain import PerDomain
from ple_jax.models.levels import WithLevels
from ple_jax.space import OneOf
from ple_jax.types import Array

SharedSees = Literal["all", "own_domain"]


class PLE(WithLevels):
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
        shared_sees: What the shared gate mixes below the last level, beside the shared
            experts, if groups are by domain: `all` domains' experts, or those of the
            example's `own_domain`, by weights that each domain has for itself.

    Cost: grows with T, by own experts, a gate and a tower each. With `all`, it grows
    with N, by equation 7: below the last level every domain's experts run on every
    example, and gates on their own domain's. With `own_domain` it does not.

    Reference: Tang et al., RecSys 2020, section 4.2, equations 6 and 7.
    Differs from the paper: it has no domains, and so no `own_domain`.
    """

    num_levels: Annotated[int, OneOf(1, 2, 3)] = 2
    experts_per_task: Annotated[int | tuple[int, ...], OneOf(1, 2, 4)] = 2
    shared_experts: Annotated[int, OneOf(1, 2, 4)] = 2
    shared_sees: SharedSees = "all"

    def __post_init__(self):
        checks.at_least(0, shared_experts=self.shared_experts)
        checks.choice(SharedSees, shared_sees=self.shared_sees)
        if self.shared_sees != "all" and not self.grouping.by_domain:
            raise ValueError(
                f"shared_sees = {self.shared_sees!r} needs groups = 'domains' or "
                f"'tasks_domains', got {self.groups!r}."
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
    def has_private_levels(self) -> bool:
        """Whether a domain has all of a level but the shared experts for itself."""
        return self.shared_sees == "own_domain"

    def make_routing(self, own: list[int], shared_gate: bool = False) -> Routing:
        """Who reads what at a level of groups that own so many experts each."""
        return own_and_shared(own, self.shared_experts, shared_gate)

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task."""
        *lower, last = self.level_dims
        for j, dims in enumerate(lower):
            x = self._apply_lower_level(x, domain, train, dims, j)
        common, mine = x, x
        if self.grouping.by_domain and lower:
            common, mine = x[:, -1], x[:, : self.grouping.in_domain]
        return self.apply_last_level(
            common,
            mine,
            domain,
            train,
            routing=self.make_routing(self.own_experts),
            dims=last,
            level=f"level_{len(lower)}",
            shared=self.shared_experts,
        )

    def _apply_lower_level(
        self, x: Array, domain: Array, train: bool, dims: tuple[int, ...], j: int
    ) -> jax.Array:
        """Level j: mixtures of all groups, or of the example's, and the shared one."""
        grouping, own, shared = self.grouping, self.own_experts, self.shared_experts
        if self.has_private_levels:
            return self._apply_own_level(x, domain, train, dims, j)
        everyone = own * (grouping.total // grouping.in_domain)
        routing = self.make_routing(everyone, shared_gate=True)
        level = self.make_level(routing, dims, name=f"level_{j}")
        # Below this one, experts of all domains read what their own gates mix.
        if grouping.by_domain and j == self.num_levels - 2:
            within = self.make_routing(own)
            meeting = Meeting(level, grouping, within, shared, self.remat)
            return meeting(x, domain, train)
        return self.run_level(level, x, x, train)

    def _apply_own_level(
        self, x: Array, domain: Array, train: bool, dims: tuple[int, ...], j: int
    ) -> jax.Array:  # (B, in_domain + 1, H)
        """Level j, of which each domain has all but the shared experts for itself."""
        own, shared = self.own_experts, self.shared_experts
        common = x if x.ndim == 2 else x[:, -1]
        given = self.apply_shared(common, shared, dims, train, name=f"shared_{j}")
        routing = self.make_routing(own, shared_gate=True).with_given(shared)
        level = OwnLevel(self.make_level(routing, dims, parent=None), parent=None)
        each = PerDomain(level, self.num_domains, self.remat, name=f"level_{j}")
        return each(domain, x, given, train=train)


build = PLE
