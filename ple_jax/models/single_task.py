"""One network per task (the single-task models of the PLE and MMoE papers)."""

import flax.linen as nn
import jax

from ple_jax.layers.experts import Level, Towers, own_and_shared
from ple_jax.models import _checks


class SingleTask(nn.Module):
    """Tasks that share nothing but their input.

        z_t = tower_t(f_t(x))

    Attributes:
        num_tasks: T.
        num_domains: N; the model does not look at the domain.
        expert_dims: Widths of the layers of each task's own bottom.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.

    Reference: Tang et al., RecSys 2020, section 5.1.2.
    """

    num_tasks: int
    num_domains: int = 1
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0
    batch_norm: bool = False

    def __post_init__(self):
        _checks.dims(expert_dims=self.expert_dims, tower_dims=self.tower_dims)
        _checks.rate(dropout_rate=self.dropout_rate)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32, not looked at
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task."""
        routing = own_and_shared([1] * self.num_tasks, shared=0)
        options = (self.dropout_rate, self.batch_norm)
        x = Level(routing, self.expert_dims, *options, name="bottom")(x, x, train)
        return Towers(self.num_tasks, self.tower_dims, *options, name="towers")(
            x, train
        )


build = SingleTask
