"""Sluice networks (Ruder et al., AAAI 2019), as the PLE paper compares with."""

from collections.abc import Mapping
from typing import Annotated, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax import checks
from ple_jax.layers.batch_last import BATCH_LAST
from ple_jax.layers.stitch import Stitch, as_tuples, near_identity
from ple_jax.models.common import WithTowers
from ple_jax.space import Between, OneOf
from ple_jax.types import Array

Start = Literal["balanced", "imbalanced"]


class Sluice(WithTowers):
    """A network for each task, cut into subspaces that mix after every layer.

        u_t      = relu(W_t h_t + b_t), cut into S subspaces: T * S parts in all
        part_i  <- sum_j alpha_ij part_j
        h_t     <- the task's parts, joined again
        z_t      = tower_t(sum_l beta_tl h_t^l),   l the layers: skip connections
        penalty  = weight * sum ||G_s^T G_s'||^2,   G_s the columns of W_t of subspace s

    Attributes:
        num_domains: N; the model ignores the domain.
        width: Width of every layer; a multiple of `subspaces`.
        num_layers: Number of layers of each task's network.
        subspaces: S, the number of subspaces of each layer.
        alpha_start: Initial alpha: `balanced` weighs all parts alike, `imbalanced`
            gives a part's own features 0.9.
        beta_start: Initial beta: `balanced` weighs all layers alike, `imbalanced` gives
            the last layer 0.9.
        orthogonality: Weight of the penalty that keeps a task's subspaces apart.
        stitch_rate: Factor on the learning rate of alpha.

    Cost: grows with T, and by alpha with T^2; flat in N.

    Reference: Ruder et al., AAAI 2019; Tang et al., RecSys 2020, figure 1g.
    Differs from the paper: layers are dense with ReLU, as in the PLE paper, not LSTMs;
        with several subspaces, imbalanced weights are 0.9 and an even rest.
    """

    width: Annotated[int, OneOf(32, 64, 128)] = 64
    num_layers: Annotated[int, OneOf(1, 2, 3)] = 2
    subspaces: Annotated[int, OneOf(1, 2)] = 2
    alpha_start: Start = "balanced"
    beta_start: Start = "imbalanced"
    orthogonality: Annotated[float, Between(1e-3, 1.0, log=True)] = 0.1
    stitch_rate: float = 1.0

    def __post_init__(self):
        counts = {"num_layers": self.num_layers, "subspaces": self.subspaces}
        checks.at_least(1, width=self.width, **counts)
        checks.at_least(0, orthogonality=self.orthogonality)
        checks.at_least(0, stitch_rate=self.stitch_rate)
        checks.choice(Start, alpha_start=self.alpha_start, beta_start=self.beta_start)
        if self.width % self.subspaces:
            raise ValueError(
                f"width must be a multiple of the {self.subspaces} subspaces, got "
                f"{self.width}."
            )
        super().__post_init__()

    @property
    def rate_multipliers(self) -> Mapping[str, float]:
        """Learning-rate factors by parameter name."""
        return {"stitch": self.stitch_rate}

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task; sows the penalty."""
        parts = self.num_tasks * self.subspaces
        start = as_tuples(weights(parts, self.alpha_start))
        axis, layers = BATCH_LAST, []
        x = axis.enter(x)
        for i in range(self.num_layers):
            options = {"one_input": x.ndim == 2, "axis": axis, "name": f"layer_{i}"}
            layer = self.make_mlps(self.num_tasks, (self.width,), train, **options)
            x = layer(x)
            self._sow_penalty(f"layer_{i}", layer.variables["params"])
            cut = x.reshape(parts, -1, x.shape[-1])
            x = Stitch(start, axis=axis, name=f"stitch_{i}")(cut).reshape(x.shape)
            layers.append(x)
        last = weights(self.num_layers, self.beta_start)[-1]
        skips = lambda key: jnp.tile(jnp.asarray(last), (self.num_tasks, 1))
        beta = self.param("skip", skips)  # (T, layers)
        x = jnp.einsum("tl,lthb->thb", beta, jnp.stack(layers))
        return self.apply_towers(axis.leave(x), train)

    def _sow_penalty(self, name, params):
        kernel = params["Dense_0"]["kernel"]  # (T, D, H)
        cut = kernel.reshape(*kernel.shape[:2], self.subspaces, -1)
        products = jnp.einsum(
            "tdsi,tdrj->tsrij", cut, cut, preferred_element_type=jnp.float32
        )
        apart = 1 - np.eye(self.subspaces, dtype=np.float32)
        pairs = (products**2).sum(axis=(3, 4)) * apart[None] / 2  # each pair once
        self.sow_penalty(f"{name}_apart", self.orthogonality * pairs.sum())


def weights(size: int, start: Start) -> np.ndarray:  # (size, size)
    """Initial mixing weights; each row sums to 1."""
    if start == "balanced":
        return np.full((size, size), 1 / size, np.float32)
    return near_identity(size, 0.9)


build = Sluice
