"""Linear mixing of the features of parallel networks."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.layers.batch_last import BATCH_FIRST, Axis
from ple_jax.types import Array

Matrix = tuple[tuple[float, ...], ...]


def near_identity(size: int, same: float) -> np.ndarray:  # (size, size)
    """A matrix of `same` on the diagonal; each row's rest shares 1 - `same` evenly."""
    if size == 1:
        return np.ones((1, 1), np.float32)
    matrix = np.full((size, size), (1 - same) / (size - 1), np.float32)
    np.fill_diagonal(matrix, same)
    return matrix


class Stitch(nn.Module):
    """Replaces each network's features by a learned mixture of all networks'.

        x_k <- sum_j alpha_kj x_j

    Attributes:
        start: Initial alpha (J, J) of J networks, as nested tuples.
        per_channel: Whether each of the H channels has its own alpha.
        axis: Where examples lie.

    Reference: Misra et al., CVPR 2016, equation 1.
    """

    start: Matrix
    per_channel: bool = False
    axis: Axis = BATCH_FIRST

    @nn.compact
    def __call__(
        self,
        x: Array,  # (B, J, H) or (J, H, B)
        networks: Array | None = None,  # (B, K), with the batch first
    ) -> jax.Array:  # as x, of J networks or K
        """Mixes the features of all networks, or of those that each example names."""
        start, product = jnp.asarray(self.start, jnp.float32), "kj,bjh->bkh"
        if self.per_channel:
            shape = (*start.shape, x.shape[self.axis.features])
            start, product = jnp.broadcast_to(start[:, :, None], shape), "kjh,bjh->bkh"
        weights = jnp.asarray(self.param("stitch", lambda key: start))
        if networks is None:
            return self.axis.einsum(product, weights, x)
        return jnp.einsum("b" + product, weights[networks], x)


def as_tuples(matrix: np.ndarray) -> Matrix:
    """Turns a matrix into nested tuples, which a module's field can hold."""
    return tuple(map(tuple, matrix.tolist()))
