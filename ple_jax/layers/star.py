"""The star topology: a shared network times each domain's private one."""

from itertools import pairwise

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.checks import is_off
from ple_jax.layers.dropout import drop
from ple_jax.layers.per_domain import PRIVATE, by_domain, dropout_key, dropout_keys
from ple_jax.types import Array, PyTree


class StarNetwork(nn.Module):
    """Dense layers whose weights are the shared ones times the domain's own.

        h <- relu((W * W_p)^T h + b + b_p),   without relu in the last layer

    W_p, the `factor`, starts at one and b_p, the `term`, at zero, so at first every
    domain is the shared network. Neither is subject to weight decay.

    Attributes:
        num_domains: N.
        dims: Widths of all layers, output included.
        dropout_rate: Probability of dropping each hidden unit while training.

    Reference: Sheng et al., CIKM 2021, equations 5 and 6.
    Differs from the paper: it gives no initial values.
    """

    num_domains: int
    dims: tuple[int, ...]
    dropout_rate: float = 0.0

    @nn.compact
    def __call__(
        self,
        x: Array,  # (B, D)
        domain: Array,  # (B,) int32
        train: bool = False,
    ) -> jax.Array:  # (B, dims[-1])
        """Runs each example through its own domain's network."""
        shared = self.param("shared", self._shared, x.shape[-1])
        private = self.param(PRIVATE, self._private, x.shape[-1])
        drops = train and not is_off(self.dropout_rate)
        keys = dropout_keys(self, len(domain)) if drops else ()
        return by_domain(self._network, shared, private, x, keys, domain)

    def _network(self, shared: PyTree, own: PyTree, x: jax.Array, keys) -> jax.Array:
        """One domain's network on its own examples (b, D)."""
        for layer in range(len(self.dims)):
            w, p = shared[f"layer_{layer}"], own[f"layer_{layer}"]
            x = x @ (w["kernel"] * p["factor"]) + (w["bias"] + p["term"])[None]
            if layer < len(self.dims) - 1:
                x = self._drop(jax.nn.relu(x), keys, layer)
        return x

    def _drop(self, x: jax.Array, keys, layer: int) -> jax.Array:
        if not len(keys):
            return x
        key = jax.random.fold_in(dropout_key(keys), layer)
        return drop(key, x, self.dropout_rate)

    def _shapes(self, width: int) -> dict[str, tuple[int, int]]:
        shapes = pairwise((width, *self.dims))
        return {f"layer_{i}": shape for i, shape in enumerate(shapes)}

    def _shared(self, key: jax.Array, width: int) -> PyTree:
        draw, shapes = nn.initializers.lecun_normal(), self._shapes(width)
        keys = jax.random.split(key, len(shapes))
        return {
            name: {"kernel": draw(key, shape), "bias": jnp.zeros(shape[1])}
            for key, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    def _private(self, key: jax.Array, width: int) -> PyTree:
        n = self.num_domains
        return {
            name: {"factor": jnp.ones((n, *shape)), "term": jnp.zeros((n, shape[1]))}
            for name, shape in self._shapes(width).items()
        }
