"""Customized sharing, as the PLE paper compares with."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.layers.batch_last import turned_back
from ple_jax.layers.experts import MLP, Towers, stack


class Customized(nn.Module):
    """Each task reads a shared bottom and its own, side by side.

        z_t = tower_t([f_s(x), f_t(x)])

    Attributes:
        num_tasks: T.
        num_domains: N; the model does not look at the domain.
        shared: Whether there is a shared bottom; without it these are single tasks.
        expert_dims: Widths of the layers of each bottom.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.

    Reference: Tang et al., RecSys 2020, section 3.2 and figure 1c.
    """

    num_tasks: int
    num_domains: int = 1
    shared: bool = True
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0
    batch_norm: bool = False

    def __post_init__(self):
        checks.dims(expert_dims=self.expert_dims, tower_dims=self.tower_dims)
        checks.rate(dropout_rate=self.dropout_rate)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32, not looked at
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task."""
        options = self.dropout_rate, self.batch_norm
        # One product for all bottoms; the shared one stands last.
        stacked = stack(MLP, self.num_tasks + self.shared, one_input=True, columns=True)
        bottoms = stacked(
            self.expert_dims, *options, train, columns=True, name="bottoms"
        )
        outputs = bottoms(x.T)
        own = outputs[: self.num_tasks]  # (T, H, B)
        if self.shared:
            shared = jnp.broadcast_to(outputs[-1:], own.shape)
            own = jnp.concatenate([shared, own], axis=1)
        return Towers(self.num_tasks, self.tower_dims, *options, name="towers")(
            turned_back(own, columns=True), train
        )


build = Customized
