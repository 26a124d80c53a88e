"""Hard parameter sharing (Caruana, Machine Learning 1997)."""

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.experts import MLP
from ple_jax.layers.groups import Grouping, Groups, own_towers
from ple_jax.models.common import check_groups


class SharedBottom(nn.Module):
    """One bottom for all tasks, and a tower for each.

        z_t = tower_t(f(x))

    Attributes:
        num_tasks: T.
        num_domains: N.
        groups: Whether towers belong to tasks, domains, or pairs of both; each example
            gets its own domain's logits.
        expert_dims: Widths of the layers of the bottom.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.

    Reference: Ma et al., KDD 2018, section 3.1, equation 1.
    """

    num_tasks: int
    num_domains: int = 1
    groups: Groups = "tasks"
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0
    batch_norm: bool = False

    def __post_init__(self):
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
        options = self.dropout_rate, self.batch_norm
        x = MLP(self.expert_dims, *options, train, name="bottom")(x)
        grouping = Grouping(self.groups, self.num_tasks, self.num_domains)
        return own_towers(x, domain, train, grouping, self.tower_dims, *options)


build = SharedBottom
