"""Where examples lie: along the first axis of an array, or along the last.

Models, levels and towers take and return arrays with the batch first, (B, ..., H).
Inside, where networks run side by side, the batch goes last, (..., H, B), as in the
papers' W h. A product of stacked kernels then transposes no activations, and a sum over
a few experts, or over hidden units, adds long vectors: on CPU a PLE step takes 0.65 to
0.9 of the time. Where one layer leaves this order and the next enters it, the compiler
cancels the two transposes. Otherwise they cost more than they save. So a network on its
own keeps the batch first, and so does a network that sees only its own domain's
examples, since these are gathered as rows.
"""

import dataclasses
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.layers.products import OfOwners, product
from ple_jax.types import Array


@dataclasses.dataclass(frozen=True)
class Axis:
    """The axis of the examples, and what follows for the other axes.

    Attributes:
        batch_last: Whether examples are the last axis.
    """

    batch_last: bool

    @property
    def features(self) -> int:
        """The axis H of (..., H, B) or (B, ..., H)."""
        return -2 if self.batch_last else -1

    @property
    def networks(self) -> int:
        """The axis of parallel networks in (networks, H, B) or (B, networks, H)."""
        return 0 if self.batch_last else 1

    def enter(self, x: Array) -> jax.Array:  # (B, ..., H) -> (..., H, B) or the same
        """Moves the batch from the first axis to this one."""
        return jnp.moveaxis(x, 0, -1) if self.batch_last else jnp.asarray(x)

    def leave(self, x: Array) -> jax.Array:  # (..., H, B) or (B, ..., H)
        """Moves the batch back to the first axis: (B, ..., H)."""
        return jnp.moveaxis(x, -1, 0) if self.batch_last else jnp.asarray(x)

    def take(self, x: jax.Array, networks: Any) -> jax.Array:
        """Indexes the parallel networks of (networks, H, B) or (B, networks, H)."""
        return x[networks] if self.batch_last else x[:, networks]

    def batch(self, x: jax.Array) -> int:
        """The number of examples B."""
        return x.shape[-1 if self.batch_last else 0]

    def fold(self, x: jax.Array) -> jax.Array:  # (B, M, N) -> (B, M * N)
        """Makes two axes of networks one."""
        batch = self.batch(x)
        return x.reshape((-1, batch) if self.batch_last else (batch, -1))

    def unfold(self, x: jax.Array, networks: int) -> jax.Array:
        """Makes one axis of networks two: (B, M * N) -> (B, M, N)."""
        batch = self.batch(x)
        parts = (networks, -1)
        return x.reshape((*parts, batch) if self.batch_last else (batch, *parts))

    def einsum(self, subscripts: str, *operands: Array) -> jax.Array:
        """NumPy's einsum with the batch axis b written first, wherever it lies."""
        if self.batch_last:
            subscripts = re.sub(r"b(\w*)", r"\1b", subscripts)  # b to the end
        return jnp.einsum(subscripts, *operands)


BATCH_FIRST, BATCH_LAST = Axis(batch_last=False), Axis(batch_last=True)


class Dense(nn.Module):
    """A dense layer.

        y = W x + b,   the kernel is W transposed (D, H)

    Attributes:
        features: H.
        axis: Where examples lie.
    """

    features: int
    axis: Axis = BATCH_FIRST

    @nn.compact
    def __call__(
        self,
        x: Array | OfOwners,  # (B, D), or (D, B)
    ) -> jax.Array:  # (B, H), or (H, B)
        """One product."""
        shape = x.shape[self.axis.features], self.features
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = jnp.asarray(self.param("bias", nn.initializers.zeros, shape[1:]))
        if self.axis.batch_last:
            return product(kernel, x) + bias[:, None]
        assert not isinstance(x, OfOwners)
        return jnp.matmul(x, kernel) + bias.reshape(1, -1)
