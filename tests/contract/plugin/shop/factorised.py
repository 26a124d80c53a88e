"""One bottom whose features each task, and each domain, weighs for itself."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.layers.experts import MLP


class Factorised(nn.Module):
    """A logit is a product of the features with a vector of the task and the domain.

        z_t = sum_h f(x)_h u_th (1 + v_dh)

    Attributes:
        num_tasks: T.
        num_domains: N.
        bottom_dims: Widths of the layers of the bottom.
        dropout_rate: Chance that a hidden unit is dropped while training.
    """

    num_tasks: int
    num_domains: int = 1
    bottom_dims: tuple[int, ...] = (16,)
    dropout_rate: float = 0.0

    def __post_init__(self):
        checks.dims(bottom_dims=self.bottom_dims)
        checks.rate(dropout_rate=self.dropout_rate)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task."""
        bottom = MLP(dims=self.bottom_dims, dropout_rate=self.dropout_rate, train=train)
        features = bottom(x)  # (B, H)
        normal, zeros = nn.initializers.lecun_normal(), nn.initializers.zeros
        width = features.shape[-1]
        task = self.param("task", normal, (self.num_tasks, width))
        own = self.param("domain", zeros, (self.num_domains, width))
        return jnp.einsum("bh,th->bt", features * (1 + own[domain]), task)


build = Factorised
