"""Multi-domain adversarial network, as the STAR paper compares with."""

from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.layers.experts import MLP
from ple_jax.models.common import WithDomainInput, WithExperts
from ple_jax.space import Between
from ple_jax.types import Array


class MulANN(WithDomainInput, WithExperts):
    """A shared bottom whose features hide the domain from a discriminator.

        h   = f(x)
        z_t = tower_t(h)
        penalty = weight * mean cross-entropy of softmax(discriminator(reverse(h)))

    reverse is the identity with gradient -1: the discriminator learns to tell the
    domain from h, and f learns to prevent it. With `partitioned_norm` and
    `auxiliary_dims` as of STAR, what differs from STAR is how domains share alone.

    Attributes:
        expert_dims: Widths of the layers of the bottom.
        discriminator_dims: Widths of the discriminator's hidden layers.
        discriminator_weight: Weight of the penalty.

    Cost: grows with T by towers, and with N by the discriminator's last layer alone.

    Reference: Sebag et al., ICLR 2019; Sheng et al., CIKM 2021, section 4.1.
    Differs from the paper: the loss on semi-supervised examples of unknown domains is
        left out, since click logs have none. It has no auxiliary network unless asked
        for, which the STAR paper's table 2 gives all models.
    """

    discriminator_dims: tuple[int, ...] = (32,)
    discriminator_weight: Annotated[float, Between(1e-3, 1.0, log=True)] = 0.1

    def __post_init__(self):
        checks.dims(discriminator_dims=self.discriminator_dims)
        checks.at_least(0, discriminator_weight=self.discriminator_weight)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task; sows the penalty."""
        options = self.regularisation | {"train": train}
        x = self.normalise(x, domain, train)
        h = MLP(self.expert_dims, **options, name="bottom")(x)
        if self.num_domains > 1:
            hidden = MLP(self.discriminator_dims, name="discriminator")(reverse(h))
            guess = nn.Dense(self.num_domains, name="discriminator_head")(hidden)
            guess = nn.log_softmax(guess.astype(jnp.float32))
            chance = jnp.take_along_axis(guess, domain[:, None], axis=1)
            self.sow_penalty("told_apart", -self.discriminator_weight * chance.mean())
        logits = self.apply_towers(h, train)
        return self.add_auxiliary(logits, x, domain, train)


def reverse(x: Array) -> Array:
    """Reverses the gradient's sign, not the value (Ganin and Lempitsky, ICML 2015)."""
    return 2 * jax.lax.stop_gradient(x) - x


build = MulANN
