"""Customized gate control: PLE of one level (Tang et al., RecSys 2020)."""

from ple_jax.layers.groups import Groups
from ple_jax.models.ple import PLE


def build(
    num_tasks: int,
    num_domains: int = 1,
    groups: Groups = "tasks",
    experts_per_task: int | tuple[int, ...] = 2,
    shared_experts: int = 2,
    expert_dims: tuple[int, ...] = (64,),
    tower_dims: tuple[int, ...] = (32,),
    dropout_rate: float = 0.0,
    batch_norm: bool = False,
    gate_use_bias: bool = False,
) -> PLE:
    """Each task mixes its own experts and the shared ones, once.

        z_k = tower_k(sum_e softmax(W_k x)_e f_e(x)),   e in own(k) and shared

    Args:
        num_tasks: T.
        num_domains: N.
        groups: Whether gates, own experts and towers belong to tasks, domains, or pairs
            of both; each example gets its own domain's logits.
        experts_per_task: Experts that a task owns: one number for all, or one each.
        shared_experts: Experts that all tasks see.
        expert_dims: Widths of the layers of each expert.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.
        gate_use_bias: Whether gates have a bias; the paper's have none.

    Reference: Tang et al., RecSys 2020, section 4.1, equations 2-5.
    """
    return PLE(
        num_tasks=num_tasks,
        num_domains=num_domains,
        groups=groups,
        num_levels=1,
        experts_per_task=experts_per_task,
        shared_experts=shared_experts,
        expert_dims=expert_dims,
        tower_dims=tower_dims,
        dropout_rate=dropout_rate,
        batch_norm=batch_norm,
        gate_use_bias=gate_use_bias,
    )
