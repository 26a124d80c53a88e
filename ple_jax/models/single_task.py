"""One network per task (the single-task models of the PLE and MMoE papers)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.layers.experts import Level, own_and_shared
from ple_jax.layers.groups import Grouping, Groups, own_heads, own_towers
from ple_jax.models.common import check_groups


class SingleTask(nn.Module):
    """Tasks that share nothing but their input.

        z_t = tower_t(f_t(x))

    Attributes:
        num_tasks: T.
        num_domains: N.
        groups: Whether gates, own experts and towers belong to tasks, domains, or pairs
            of both; each example gets its own domain's logits.
        expert_dims: Widths of the layers of each task's own bottom.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.

    Reference: Tang et al., RecSys 2020, section 5.1.2.
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
        grouping = Grouping(self.groups, self.num_tasks, self.num_domains)
        routing = own_and_shared([1] * grouping.in_domain, shared=0)
        if grouping.by_domain:
            nothing = jnp.zeros((x.shape[0], 0, self.expert_dims[-1]), x.dtype)
            dims = self.expert_dims, self.tower_dims, self.dropout_rate
            return own_heads(x, nothing, domain, train, grouping, routing, *dims)
        options = self.dropout_rate, self.batch_norm
        x = Level(routing, self.expert_dims, *options, name="bottom")(x, x, train)
        return own_towers(x, domain, train, grouping, self.tower_dims, *options)


build = SingleTask
