"""One network per domain: the "shared bottom" of the STAR paper (CIKM 2021)."""

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.experts import MLP, Towers
from ple_jax.layers.per_domain import PerDomain


class Separate(nn.Module):
    """Domains that share nothing but the embeddings.

        z_t = tower_{p,t}(f_p(x)),   p the example's domain

    `inputs.per_domain` gives each domain embeddings of its own, too.

    Attributes:
        num_tasks: T.
        num_domains: N.
        expert_dims: Widths of the layers of each domain's bottom.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.

    Reference: Sheng et al., CIKM 2021, section 4.1, "Shared Bottom".
    """

    num_tasks: int
    num_domains: int = 1
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0

    def __post_init__(self):
        checks.dims(expert_dims=self.expert_dims, tower_dims=self.tower_dims)
        checks.rate(dropout_rate=self.dropout_rate)
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task, by the example's own domain's network."""
        dims = self.expert_dims, self.tower_dims
        network = Network(self.num_tasks, *dims, self.dropout_rate, parent=None)
        domains = PerDomain(network, self.num_domains, name="domains")
        return domains(domain, x, train=train)


class Network(nn.Module):
    """One domain's bottom and towers; attributes as of `Separate`."""

    num_tasks: int
    expert_dims: tuple[int, ...]
    tower_dims: tuple[int, ...]
    dropout_rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """(B, D) -> (B, T)."""
        x = MLP(self.expert_dims, self.dropout_rate, train=train, name="bottom")(x)
        dims, rate = self.tower_dims, self.dropout_rate
        towers = Towers(self.num_tasks, dims, rate, columns=False, name="towers")
        return towers(x, train)


build = Separate
