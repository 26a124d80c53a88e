"""Batch normalisation with each domain's own statistics."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.layers.per_domain import PRIVATE
from ple_jax.types import Array, PyTree


class PartitionedNorm(nn.Module):
    """Normalises each domain by its own statistics.

        z = (scale * scale_p) * (x - mean_p) / sqrt(var_p + eps) + (bias + bias_p)

    In training, mean_p and var_p are those of domain p's examples in the batch, so a
    batch of many domains gives what single-domain batches would. Otherwise they are
    moving averages, so scores never depend on the batch. An absent domain keeps its
    averages to the bit.

    Attributes:
        num_domains: N.
        momentum: Weight of the old moving average; less in a domain's first batches.
        epsilon: Added to the variance.

    Reference: Sheng et al., CIKM 2021, equations 3 and 4.
    Differs from the paper: a domain with one example in the batch has no variance and
        is normalised by its moving averages. The paper gives no momentum, epsilon or
        initial values.
    """

    num_domains: int
    momentum: float = 0.99
    epsilon: float = 1e-3

    @nn.compact
    def __call__(
        self,
        x: Array,  # (B, D)
        domain: Array,  # (B,) int32
        train: bool = False,
    ) -> jax.Array:  # (B, D)
        """The normalised input."""
        width, shape = x.shape[-1], (self.num_domains, x.shape[-1])
        scale = self.param("scale", nn.initializers.ones, (width,))
        bias = self.param("bias", nn.initializers.zeros, (width,))
        one = lambda key: {"scale": jnp.ones(shape), "bias": jnp.zeros(shape)}
        own = self.param(PRIVATE, one)
        kept = self.variable("batch_stats", PRIVATE, self._start, shape)
        moments = jnp.asarray(kept.value["mean"]), jnp.asarray(kept.value["var"])
        if train:
            moments, updated = self._measure(x, domain, kept.value)
            if not self.is_initializing():
                kept.value = updated
        factor = scale[None] * own["scale"] * jax.lax.rsqrt(moments[1] + self.epsilon)
        term = jnp.asarray(bias)[None] + own["bias"]
        normalised = factor[domain] * (x - moments[0][domain]) + term[domain]
        return normalised.astype(x.dtype)  # statistics may be more precise

    def _start(self, shape: tuple[int, int]) -> PyTree:
        counts = jnp.zeros((shape[0], 1))
        return {"mean": jnp.zeros(shape), "var": jnp.ones(shape), "batches": counts}

    def _measure(self, x, domain, kept):
        """Gives the moments (N, D) to normalise by, and the new moving averages."""
        member = jax.nn.one_hot(domain, self.num_domains, axis=0)  # (N, B)
        size = member.sum(axis=1, keepdims=True)  # (N, 1)
        sums = lambda values: jnp.matmul(member, values, precision="highest")
        mean = sums(x) / jnp.maximum(size, 1)
        var = sums((x - mean[domain]) ** 2) / jnp.maximum(size, 1)
        enough, n = size >= 2, kept["batches"]
        keep = jnp.minimum(self.momentum, n / (n + 1))
        move = lambda old, new: jnp.where(enough, keep * old + (1 - keep) * new, old)
        updated = {
            "mean": move(kept["mean"], jax.lax.stop_gradient(mean)),
            "var": move(kept["var"], jax.lax.stop_gradient(var)),
            "batches": n + enough,
        }
        used = lambda old, new: jnp.where(enough, new, old)
        return (used(kept["mean"], mean), used(kept["var"], var)), updated
