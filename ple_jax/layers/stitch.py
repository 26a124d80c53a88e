"""Linear mixing of parallel networks' features."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.layers.batch_last import einsum


def near_identity(size: int, same: float) -> np.ndarray:  # (size, size)
    """`same` on the diagonal, what is left to 1 spread evenly over each row's rest."""
    if size == 1:
        return np.ones((1, 1), np.float32)
    others = np.full((size, size), (1 - same) / (size - 1), np.float32)
    return np.where(np.eye(size, dtype=bool), np.float32(same), others)


class Stitch(nn.Module):
    """Each network's features replaced by a learned mixture of all networks'.

        x_k <- sum_j alpha_kj x_j

    Attributes:
        start: Initial alpha (J, J) of J networks, as nested tuples.
        per_channel: Whether each of the H channels has an alpha of its own.
        columns: Whether examples are columns.

    Reference: Misra et al., CVPR 2016, equation 1.
    """

    start: tuple[tuple[float, ...], ...]
    per_channel: bool = False
    columns: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (J, H, B), or (B, J, H)
    ) -> jax.Array:  # the same
        """The mixtures."""
        start = jnp.asarray(self.start, jnp.float32)
        if not self.per_channel:
            alpha = self.param("stitch", lambda key: start)
            return einsum("kj,bjh->bkh", alpha, x, columns=self.columns)
        channels = x.shape[1 if self.columns else 2]
        spread = jnp.broadcast_to(start[:, :, None], (*start.shape, channels))
        alpha = self.param("stitch", lambda key: spread)
        return einsum("kjh,bjh->bkh", alpha, x, columns=self.columns)


def as_tuples(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """A matrix as a module's field can hold it."""
    return tuple(tuple(float(v) for v in row) for row in matrix)
