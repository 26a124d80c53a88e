"""Adaptive task-to-task fusion (Li et al., KDD 2023)."""

from functools import partial
from typing import Annotated

from ple_jax.layers.experts import Routing, units_see_all
from ple_jax.models.ple import PLE
from ple_jax.space import OneOf


class AdaTT(PLE):
    """Units, one a task, that fuse all units' experts and add their own once more.

        h^{t,0} = x
        w^{t,j} = softmax(W^{t,j} h^{t,j-1})
        h^{t,j} = sum_e (w_e^{t,j} + v_e^{t,j}) f_e^j(h^{owner(e),j-1})
        z_t     = tower_t(h^{t,J})

    Experts and gate of a unit read what it fused a level below. v weighs the unit's own
    m experts, alike for all examples, and is 0 for others. It starts at U(-1, 1) /
    sqrt(m), and is 1, not learned, if every unit has one expert. The shared unit fuses
    too, but at the last level.

    Attributes:
        num_levels: J, levels of experts and fusions.
        experts_per_task: Experts of a task's unit at each level, at least 1: one number
            for all, or one each (the same in each domain). With groups = "domains",
            those of a domain's unit.
        shared_experts: Experts of the shared unit, at each level; 0 leaves the unit
            out, which is AdaTT-sp. Domains then share their input alone.

    Cost: grows with T, by own experts, a gate and a tower each, and by gates and
        mixtures with T^2; flat in N: units fuse with those of their own domain and
        with the shared one, whose gate each domain has for itself.

    Reference: Li et al., KDD 2023, sections 4.1 to 4.3, equations 4 to 11.
    Differs from the paper: it has no domains. Its equation 10 has no bias in gates, its
        code has one: `gate_use_bias`.
    """

    shared_experts: Annotated[int, OneOf(0, 1, 2, 4)] = 2

    def __post_init__(self):
        own = self.own_experts
        if min(own) < 1:
            raise ValueError(
                f"Every unit must own an expert, got experts_per_task = {own}."
            )
        super().__post_init__()

    @property
    def unit_experts(self) -> tuple[int, ...]:
        """How many experts each unit has at a level, the shared one's last."""
        return (*self.own_experts, self.shared_experts)

    @property
    def has_private_levels(self) -> bool:
        """Whether a domain has all of a level but the shared experts for itself."""
        return self.grouping.by_domain

    def make_routing(self, own: list[int], shared_gate: bool = False) -> Routing:
        """Who reads what at a level of units that own so many experts each."""
        return units_see_all(own, self.shared_experts, shared_gate)


build = partial(AdaTT, shared_sees="all")
