"""Normalisation by the statistics of a batch, in training, and by their averages."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.checks import is_off
from ple_jax.layers.batch_last import BATCH_FIRST, Axis
from ple_jax.layers.per_domain import PRIVATE
from ple_jax.types import Array, PyTree

MOMENTUM = 0.99  # of `BatchNorm`, as in flax


def kept_share(
    batches: jax.Array, momentum: float | jax.Array, window: float | jax.Array
) -> jax.Array:
    """The weight of the old moving average, after n batches.

        keep = min(momentum, n / (n + 1 / window))

    So the first batch sets the average, which then is of the newest batches, about a
    share `window` of all: while embeddings grow, older ones say what is no longer so.
    From 1 / (window (1 - momentum)) batches on, it has a fixed momentum. If the window
    is 0 it is the mean of all batches until then.
    """
    late = 1.0 if is_off(window) else 1 / window
    return jnp.minimum(momentum, batches / (batches + late))


class BatchNorm(nn.Module):
    """Flax's batch normalisation, whose moving statistics have no bias to their start.

        z = scale * (x - mean) / sqrt(var + eps) + bias

    Attributes:
        window: As in `kept_share`.
        axis: Where examples lie.

    Reference: Ioffe and Szegedy, ICML 2015.
    """

    window: float = 0.1
    axis: Axis = BATCH_FIRST

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """The normalised input."""
        kept = self.variable("batch_stats", "batches", jnp.zeros, ())
        keep: Any = kept_share(jnp.asarray(kept.value), MOMENTUM, self.window)
        norm = nn.BatchNorm(not train, self.axis.features, keep, name="norm")
        if train and not self.is_initializing():
            kept.value += 1
        return norm(x)


def batch_normalise(
    x: jax.Array, window: float, axis: Axis, train: bool, name: str | None = None
) -> jax.Array:  # of the same shape
    """Normalises by `BatchNorm`, or by flax's own if the window is 0.

    Flax's averages start at mean 0 and variance 1, and forget them by 0.99 a batch.
    """
    if is_off(window):
        return nn.BatchNorm(not train, axis.features, name=name)(x)
    return BatchNorm(window, axis, name=name)(x, train)


class PartitionedNorm(nn.Module):
    """Normalises each domain by its own statistics.

        z = (scale * scale_p) * (x - mean_p) / sqrt(var_p + eps) + (bias + bias_p)

    In training, mean_p and var_p are those of domain p's examples in the batch, so a
    batch of many domains gives what single-domain batches would. Otherwise they are
    moving averages, so scores never depend on the batch. An absent domain keeps its
    averages to the bit.

    Attributes:
        num_domains: N.
        momentum: Weight of the old moving average, at most: see `kept_share`.
        epsilon: Added to the variance.
        window: As in `kept_share`.

    Reference: Sheng et al., CIKM 2021, equations 3 and 4.
    Differs from the paper: a domain with one example in the batch has no variance and
        is normalised by its moving averages. The paper gives no momentum, epsilon or
        initial values.
    """

    num_domains: int
    momentum: float = 0.99
    epsilon: float = 1e-3
    window: float = 0.1

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
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        sums = lambda rows: jax.ops.segment_sum(rows, domain, self.num_domains)
        size = sums(jnp.ones((len(x), 1)))  # (N, 1)
        mean = sums(x) / jnp.maximum(size, 1)
        var = sums((x - mean[domain]) ** 2) / jnp.maximum(size, 1)
        enough, n = size >= 2, kept["batches"]
        keep = kept_share(n, self.momentum, self.window)
        move = lambda old, new: jnp.where(enough, keep * old + (1 - keep) * new, old)
        updated = {
            "mean": move(kept["mean"], jax.lax.stop_gradient(mean)),
            "var": move(kept["var"], jax.lax.stop_gradient(var)),
            "batches": n + enough,
        }
        used = lambda old, new: jnp.where(enough, new, old)
        return (used(kept["mean"], mean), used(kept["var"], var)), updated
