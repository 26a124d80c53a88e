"""Gates: how much of each expert a mixture takes."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.layers.batch_last import BATCH_FIRST, Axis
from ple_jax.layers.mixture import softmax
from ple_jax.layers.patterns import Pattern, numbers


class Gates(nn.Module):
    """The weight of each expert in each gate's mixture: a softmax over those it sees.

        w_g = softmax(W_g s_g)

    Attributes:
        patterns: Which experts each gate sees; W_g has just these columns, or none if
            it is one expert.
        use_bias: Whether to add a bias before the softmax.
        axis: Where examples lie.

    Reference: Tang et al., RecSys 2020, equation 3; Ma et al., KDD 2018, equation 8.
    """

    patterns: tuple[Pattern, ...]
    use_bias: bool = False
    axis: Axis = BATCH_FIRST

    @nn.compact
    def __call__(
        self,
        selector: jax.Array,  # (B, D) for all gates, or (B, groups, D), groups >= G
    ) -> list[jax.Array]:
        """Of each pattern, weights (B, gates, each), or (gates, each, B)."""
        logits = iter(self._logits(selector))
        batch = self.axis.batch(selector)
        alone = lambda p: jnp.ones((batch, p.gates, 1), selector.dtype)
        return [
            softmax(next(logits), self.axis) if p.pairs else self.axis.enter(alone(p))
            for p in self.patterns
        ]

    def _logits(self, selector: jax.Array) -> list[jax.Array]:
        """Those of the patterns that have a choice."""
        axis, patterns = self.axis, [p for p in self.patterns if p.pairs]
        ends = list(itertools.accumulate(p.pairs for p in patterns))
        if not ends:
            return []
        cut = lambda x, axis: jnp.split(x, ends[:-1], axis)
        shape = selector.shape[axis.features], ends[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        if selector.ndim == 2:  # one product for all gates
            flat = cut(axis.einsum("dp,bd->bp", kernel, selector), axis.networks)
            logits = list(map(axis.unfold, flat, [p.gates for p in patterns]))
        else:
            of = lambda p, k: axis.einsum(
                "dge,bgd->bge",
                k.reshape(-1, p.gates, p.each),
                axis.take(selector, slice(p.first, p.first + p.gates)),
            )
            logits = list(map(of, patterns, cut(kernel, 1)))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, shape[1:])
            one = lambda p, b: axis.enter(b.reshape(1, p.gates, p.each))
            logits = list(map(jnp.add, logits, map(one, patterns, cut(bias, 0))))
        return logits


class Residual(nn.Module):
    """Adds to each gate's weights what its own experts have for every example.

        w_g <- w_g + pad(v_g),   v_g ~ U(-1, 1) / sqrt(m_g) at the start

    So a mixture and a sum of own experts cost what the mixture costs.

    Attributes:
        patterns: Which experts each gate sees.
        own: For each gate, its own m_g experts; it sees them.
        unit: Whether v is 1, and no parameter.
        axis: Where examples lie.

    Reference: Li et al., KDD 2023, equations 8 and 11.
    """

    patterns: tuple[Pattern, ...]
    own: tuple[tuple[int, ...], ...]
    unit: bool = False
    axis: Axis = BATCH_FIRST

    @nn.compact
    def __call__(self, weights: list[jax.Array]) -> list[jax.Array]:
        """Of each pattern, weights (B, gates, each), or (gates, each, B)."""
        own = self._own_weights().astype(weights[0].dtype)
        added = jnp.pad(own, (0, 1))[self._places()]
        ends = np.cumsum([p.gates * p.each for p in self.patterns])
        one = lambda p, v: self.axis.enter(v.reshape(1, p.gates, p.each))
        parts = map(one, self.patterns, jnp.split(added, ends[:-1]))
        return list(map(jnp.add, weights, parts))

    def _own_weights(self) -> jax.Array:  # (sum of m_g,)
        counts = np.array([len(own) for own in self.own])
        if self.unit:
            return jnp.ones(counts.sum())
        most = np.float32(1 / np.sqrt(np.repeat(counts, counts)))
        start = lambda key: most * jax.random.uniform(key, most.shape, minval=-1)
        return jnp.asarray(self.param("weights", start))

    def _places(self) -> np.ndarray:
        """For each pair of a gate and an expert, the place of its v, or of the pad."""
        experts = max(b.stop(p.gates) for p in self.patterns for b in p.blocks)
        pairs = numbers(self.patterns, experts)
        own = [pairs[g, e] for g, of_gate in enumerate(self.own) for e in of_gate]
        places = np.full(pairs.max() + 1, len(own))
        places[own] = np.arange(len(own))
        return places
