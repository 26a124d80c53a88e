"""Several networks that read the same input, and score as one: their mean logits."""

from collections.abc import Mapping

import flax.linen as nn
import jax

from ple_jax.types import Array

SOWN = ("batch_stats", "penalties", "intermediates")


class Members(nn.Module):
    """M copies of a model that differ in their initial values and dropout alone.

        z(x) = (1 / M) sum_m z_m(x)

    Training sees the logits of each, so that each learns as it would alone; scoring
    sees their mean, which is nearer to the truth than one of them where networks of one
    size disagree: on small data. They share what they read, embeddings among it, so
    that they cost M times the dense work and nothing else. Their parameters have a
    leading axis M.

    Attributes:
        model: What is copied.
        count: M, at least 2.

    References: Lakshminarayanan et al., NeurIPS 2017, section 2; Gorishniy et al.,
        TabM, ICLR 2025, section 3.
    Differs from the paper: the first trains each network by itself, the second shares
        nearly all of their weights too; here they share embeddings.
    """

    model: nn.Module
    count: int

    @property
    def rate_multipliers(self) -> Mapping[str, float]:
        """Those of the model."""
        return getattr(self.model, "rate_multipliers", {})

    @property
    def reads_per_task(self) -> bool:
        """Whether the model's tasks can read inputs of their own."""
        return getattr(self.model, "reads_per_task", False)

    @nn.compact
    def __call__(
        self,
        x: Array,  # (B, D), or (B, T, D)
        domain: Array,  # (B,)
        train: bool = False,
    ) -> jax.Array:  # (M, B, T) in training, (B, T) else
        """Logits: of each member in training, their mean in scoring."""
        each = nn.vmap(
            lambda model, x, domain: model(x, domain, train),
            variable_axes={"params": 0, **dict.fromkeys(SOWN, 0)},
            split_rngs={"params": True, "dropout": True},
            in_axes=(None, None),
            axis_size=self.count,
        )
        logits = each(self.model, x, domain)
        return logits if train else logits.mean(axis=0)
