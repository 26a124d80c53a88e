"""Multi-gate mixture of experts: ML-MMoE of one level (Ma et al., KDD 2018)."""

from ple_jax.layers.groups import Groups
from ple_jax.models.ml_mmoe import MLMMoE


def build(
    num_tasks: int,
    num_domains: int = 1,
    groups: Groups = "tasks",
    num_experts: int = 8,
    expert_dims: tuple[int, ...] = (64,),
    tower_dims: tuple[int, ...] = (32,),
    dropout_rate: float = 0.0,
    batch_norm: bool = False,
    gate_use_bias: bool = False,
) -> MLMMoE:
    """Experts that a gate of each task mixes.

        z_t = tower_t(sum_e softmax(W_t x)_e f_e(x))

    Args:
        num_tasks: T.
        num_domains: N.
        groups: Whether gates and towers belong to tasks, domains, or pairs of both;
            each example gets its own domain's logits.
        num_experts: E.
        expert_dims: Widths of the layers of each expert.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.
        gate_use_bias: Whether gates have a bias; the paper's have none.

    Reference: Ma et al., KDD 2018, section 4.2, equations 6-8.
    """
    return MLMMoE(
        num_tasks=num_tasks,
        num_domains=num_domains,
        groups=groups,
        num_experts=num_experts,
        num_levels=1,
        expert_dims=expert_dims,
        tower_dims=tower_dims,
        dropout_rate=dropout_rate,
        batch_norm=batch_norm,
        gate_use_bias=gate_use_bias,
    )
