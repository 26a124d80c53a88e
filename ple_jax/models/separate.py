"""One network per domain: the "shared bottom" of the STAR paper (CIKM 2021)."""

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.experts import MLP, Towers
from ple_jax.layers.per_domain import PerDomain
from ple_jax.models.common import ExpertDims, TowerDims, WithDomainInput
from ple_jax.types import Array


class Separate(WithDomainInput):
    """Domains that share nothing but the embeddings.

        z_t = tower_{p,t}(f_p(x)),   p the example's domain

    `inputs.per_domain` separates the embeddings too. With `partitioned_norm` and
    `auxiliary_dims` as of STAR, what differs from STAR is the star network alone.

    Attributes:
        expert_dims: Widths of the layers of each domain's bottom.
        tower_dims: Widths of the hidden layers of each task's tower.

    Cost: grows with T by towers; flat in N.

    Reference: Sheng et al., CIKM 2021, section 4.1, "Shared Bottom".
    Differs from the paper: it has no auxiliary network unless asked for, which the
        paper's table 2 gives all models.
    """

    expert_dims: ExpertDims = (64,)
    tower_dims: TowerDims = (32,)

    def __post_init__(self):
        checks.dims(expert_dims=self.expert_dims, tower_dims=self.tower_dims)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task, from the network of the example's own domain."""
        network = Network(
            num_towers=self.num_tasks,
            expert_dims=self.expert_dims,
            tower_dims=self.tower_dims,
            dropout_rate=self.dropout_rate,
            parent=None,
        )
        x = self.normalise(x, domain, train)
        domains = PerDomain(network, self.num_domains, name="domains")
        logits = domains(domain, x, train=train)
        return self.add_auxiliary(logits, x, domain, train)


class Network(nn.Module):
    """One domain's bottom and towers; attributes as in `Separate`."""

    num_towers: int
    expert_dims: tuple[int, ...]
    tower_dims: tuple[int, ...]
    dropout_rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """(B, D) -> (B, T)."""
        rate = self.dropout_rate
        bottom = MLP(self.expert_dims, dropout_rate=rate, train=train, name="bottom")
        towers = Towers(
            self.num_towers, self.tower_dims, dropout_rate=rate, name="towers"
        )
        return towers(bottom(x), train)


build = Separate
