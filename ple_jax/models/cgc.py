"""Customized gate control: PLE of one level (Tang et al., RecSys 2020)."""

from functools import partial

from ple_jax.models.ple import PLE


class CGC(PLE):
    """Each task mixes its own experts and the shared ones, once.

        z_k = tower_k(sum_e softmax(W_k x)_e f_e(x)),   e in own(k) and shared

    Attributes:
        experts_per_task: Experts that a task owns: one number for all, or one each.
        shared_experts: Experts that all tasks see.

    Cost: grows with T, by own experts, a gate and a tower each; flat in N.

    Reference: Tang et al., RecSys 2020, section 4.1, equations 2-5.
    """


build = partial(CGC, num_levels=1, level_widths=(), shared_sees="all")
