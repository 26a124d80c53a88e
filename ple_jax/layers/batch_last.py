"""Examples as rows or as columns: how parallel networks compute.

At the edges of models, levels and towers an example is a row, (B, ..., H). Within,
where networks stand side by side, it is a column, (..., H, B), as in the papers' W h.
Then a product of stacked kernels transposes no activations, and a sum over a few
experts, or over hidden units, adds long vectors: on CPU a step of PLE takes 0.65 to 0.9
of the time. Where two edges meet, the compiler leaves out both. Where none does, they
cost more than columns gain: so a network that stands alone, and one that works off its
own domain's examples, which are gathered as rows, compute on rows.
"""

import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.types import Array


def turned(x: Array, columns: bool) -> jax.Array:  # (B, ..., H) -> (..., H, B)
    """Rows as what a layer computes on."""
    return jnp.moveaxis(x, 0, -1) if columns else jnp.asarray(x)


def turned_back(x: jax.Array, columns: bool) -> jax.Array:
    """What a layer computes on as rows (B, ..., H)."""
    return jnp.moveaxis(x, -1, 0) if columns else x


def networks(x: jax.Array, index: Any, columns: bool) -> jax.Array:
    """Some of the parallel networks (networks, H, B) or (B, networks, H), or one."""
    return x[index] if columns else x[:, index]


def einsum(subscripts: str, *operands: jax.Array, columns: bool) -> jax.Array:
    """As NumPy's, with the examples' axis b in front; it stands last in columns."""
    if columns:
        # In each term, what stands behind b goes before it.
        subscripts = re.sub(r"b(\w*)", r"\1b", subscripts)
    return jnp.einsum(subscripts, *operands)


class ColumnDense(nn.Module):
    """Flax's dense layer, on columns.

        y = W x + b,   the kernel is W transposed (D, H)

    Attributes:
        features: H.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # (D, B) -> (H, B)
        """One product."""
        shape = x.shape[0], self.features
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, shape[1:])
        return kernel.T @ x + jnp.asarray(bias)[:, None]


def dense(columns: bool) -> type[nn.Module]:
    """The dense layer on either."""
    return ColumnDense if columns else nn.Dense
