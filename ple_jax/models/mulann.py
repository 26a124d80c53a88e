"""Multi-domain adversarial network, as the STAR paper compares with."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.layers.experts import MLP, Towers


class MulANN(nn.Module):
    """A shared bottom whose features a domain discriminator must not tell apart.

        h   = f(x)
        z_t = tower_t(h)
        penalty = weight * mean cross-entropy of softmax(discriminator(reverse(h)))

    reverse is the identity whose gradient is -1: the discriminator learns to tell the
    domain from h, and f to keep it from doing so.

    Attributes:
        num_tasks: T.
        num_domains: N.
        expert_dims: Widths of the layers of the bottom.
        tower_dims: Widths of the hidden layers of each task's tower.
        discriminator_dims: Widths of the discriminator's hidden layers.
        discriminator_weight: How much the penalty weighs.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU.

    Reference: Sebag et al., ICLR 2019; Sheng et al., CIKM 2021, section 4.1.
    Differs from the paper: the loss of semi-supervised examples of unknown domains is
        left out, as click logs have none.
    """

    num_tasks: int
    num_domains: int = 1
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    discriminator_dims: tuple[int, ...] = (32,)
    discriminator_weight: float = 0.1
    dropout_rate: float = 0.0
    batch_norm: bool = False

    def __post_init__(self):
        checks.dims(expert_dims=self.expert_dims, tower_dims=self.tower_dims)
        checks.dims(discriminator_dims=self.discriminator_dims)
        checks.rate(dropout_rate=self.dropout_rate)
        checks.at_least(0, discriminator_weight=self.discriminator_weight)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32; only the penalty looks at it
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task; the penalty is sown."""
        options = self.dropout_rate, self.batch_norm
        h = MLP(self.expert_dims, *options, train, name="bottom")(x)
        if self.num_domains > 1:
            hidden = MLP(self.discriminator_dims, name="discriminator")(reverse(h))
            guess = nn.Dense(self.num_domains, name="discriminator_head")(hidden)
            guess = nn.log_softmax(guess.astype(jnp.float32))
            chance = jnp.take_along_axis(guess, domain[:, None], axis=1)
            self.sow("penalties", "domain", -self.discriminator_weight * chance.mean())
        return Towers(self.num_tasks, self.tower_dims, *options, name="towers")(
            h, train
        )


def reverse(x: jax.Array) -> jax.Array:
    """The identity, its gradient's sign turned (Ganin and Lempitsky, ICML 2015)."""
    return 2 * jax.lax.stop_gradient(x) - x


build = MulANN
