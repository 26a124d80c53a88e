"""Cross-stitch networks (Misra et al., CVPR 2016)."""

from collections.abc import Mapping

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.batch_last import turned, turned_back
from ple_jax.layers.experts import MLP, stack
from ple_jax.layers.groups import Grouping, Groups, own_towers
from ple_jax.layers.stitch import Stitch, as_tuples, near_identity
from ple_jax.models.common import check_groups


class CrossStitch(nn.Module):
    """A network for each group, whose features mix after every layer.

        h_k <- sum_j alpha_kj relu(W_j h_j + b_j)
        z   = tower_k(h_k)

    Attributes:
        num_tasks: T.
        num_domains: N.
        groups: Whether networks and towers belong to tasks, domains, or pairs of both.
            All networks see every example, since their features mix.
        expert_dims: Widths of the layers; a stitch follows each.
        tower_dims: Widths of the hidden layers of each task's tower.
        same: Initial weight of a network's own features; the others share the rest.
        per_channel: Whether each channel has weights of its own.
        stitch_rate: Multiplies the learning rate of the stitches. The paper's SGD takes
            100 to 1000; Adam, whose steps do not shrink with the gradient, needs none.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.

    Reference: Misra et al., CVPR 2016; Tang et al., RecSys 2020, figure 1f.
    Differs from the paper: one weight a pair of networks and layer by default, as the
        MMoE paper has it, not one a channel.
    """

    num_tasks: int
    num_domains: int = 1
    groups: Groups = "tasks"
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    same: float = 0.9
    per_channel: bool = False
    stitch_rate: float = 1.0
    dropout_rate: float = 0.0
    batch_norm: bool = False

    def __post_init__(self):
        checks.dims(expert_dims=self.expert_dims, tower_dims=self.tower_dims)
        checks.rate(dropout_rate=self.dropout_rate)
        check_groups(self.groups, self.batch_norm)
        checks.at_least(0, stitch_rate=self.stitch_rate)
        super().__post_init__()

    @property
    def rate_multipliers(self) -> Mapping[str, float]:
        """Learning-rate multipliers by the name of a parameter."""
        return {"stitch": self.stitch_rate}

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task."""
        grouping = Grouping(self.groups, self.num_tasks, self.num_domains)
        options = self.dropout_rate, self.batch_norm
        start = as_tuples(near_identity(grouping.total, self.same))
        columns = grouping.columns
        x = turned(x, columns)
        for i, width in enumerate(self.expert_dims):
            layer = stack(MLP, grouping.total, x.ndim == 2, columns)
            x = layer((width,), *options, train, columns, name=f"layer_{i}")(x)
            x = Stitch(start, self.per_channel, columns, name=f"stitch_{i}")(x)
        x = grouping.own(turned_back(x, columns), domain)
        return own_towers(x, domain, train, grouping, self.tower_dims, *options)


build = CrossStitch
