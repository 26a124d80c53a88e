"""Sluice networks (Ruder et al., AAAI 2019), as the PLE paper compares with."""

import typing
from collections.abc import Mapping
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax import checks
from ple_jax.layers.batch_last import turned_back
from ple_jax.layers.experts import MLP, Towers, stack
from ple_jax.layers.stitch import Stitch, as_tuples, near_identity

Start = Literal["balanced", "imbalanced"]


class Sluice(nn.Module):
    """Task networks of subspaces that mix after every layer, with skip connections.

        u        = relu(W_t h_t + b_t), cut into S subspaces: T * S parts in all
        part_i  <- sum_j alpha_ij part_j
        h_t      = the task's parts, joined again
        z_t      = tower_t(sum_l beta_tl h_t^l)
        penalty  = weight * sum ||G_s^T G_s'||^2,   G_s the columns of W_t of subspace s

    Attributes:
        num_tasks: T.
        num_domains: N; the model does not look at the domain.
        width: Width of every layer; a multiple of `subspaces`.
        num_layers: Layers of each task's network.
        subspaces: S, of each task and layer.
        alpha_start: `balanced` weighs all parts alike, `imbalanced` its own by 0.9.
        beta_start: `balanced` weighs all layers alike, `imbalanced` the last by 0.9.
        orthogonality: Weight of the penalty that keeps a task's subspaces apart.
        stitch_rate: Multiplies the learning rate of alpha.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU.

    Reference: Ruder et al., AAAI 2019; Tang et al., RecSys 2020, figure 1g.
    Differs from the paper: layers are dense with ReLU, as in the PLE paper, not LSTMs;
        imbalanced weights of several subspaces are 0.9 and an even rest.
    """

    num_tasks: int
    num_domains: int = 1
    width: int = 64
    num_layers: int = 2
    subspaces: int = 2
    alpha_start: Start = "balanced"
    beta_start: Start = "imbalanced"
    orthogonality: float = 0.1
    stitch_rate: float = 1.0
    tower_dims: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0
    batch_norm: bool = False

    def __post_init__(self):
        counts = {"num_layers": self.num_layers, "subspaces": self.subspaces}
        checks.at_least(1, width=self.width, **counts)
        checks.at_least(0, orthogonality=self.orthogonality)
        checks.at_least(0, stitch_rate=self.stitch_rate)
        checks.dims(tower_dims=self.tower_dims)
        checks.rate(dropout_rate=self.dropout_rate)
        for start in (self.alpha_start, self.beta_start):
            checks.check_known(start, typing.get_args(Start), "start of mixing weights")
        if self.width % self.subspaces:
            raise ValueError(
                f"width must be a multiple of the {self.subspaces} subspaces, got "
                f"{self.width}."
            )
        super().__post_init__()

    @property
    def rate_multipliers(self) -> Mapping[str, float]:
        """Learning-rate multipliers by the name of a parameter."""
        return {"stitch": self.stitch_rate}

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32, not looked at
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task; the penalty is sown."""
        options = self.dropout_rate, self.batch_norm
        parts = self.num_tasks * self.subspaces
        start = as_tuples(weights(parts, self.alpha_start))
        layers, x = [], x.T
        for i in range(self.num_layers):
            layer = stack(MLP, self.num_tasks, x.ndim == 2, columns=True)(
                (self.width,), *options, train, columns=True, name=f"layer_{i}"
            )
            x = layer(x)
            self._sow_penalty(f"layer_{i}", layer.variables["params"])
            cut = x.reshape(parts, -1, x.shape[-1])
            x = Stitch(start, columns=True, name=f"stitch_{i}")(cut).reshape(x.shape)
            layers.append(x)
        last = weights(self.num_layers, self.beta_start)[-1]
        skips = lambda key: jnp.tile(jnp.asarray(last), (self.num_tasks, 1))
        beta = self.param("skip", skips)  # (T, layers)
        x = jnp.einsum("tl,lthb->thb", beta, jnp.stack(layers))
        return Towers(self.num_tasks, self.tower_dims, *options, name="towers")(
            turned_back(x, columns=True), train
        )

    def _sow_penalty(self, name, params):
        kernel = params["Dense_0"]["kernel"]  # (T, D, H)
        cut = kernel.reshape(*kernel.shape[:2], self.subspaces, -1)
        products = jnp.einsum(
            "tdsi,tdrj->tsrij", cut, cut, preferred_element_type=jnp.float32
        )
        apart = 1 - np.eye(self.subspaces, dtype=np.float32)
        pairs = (products**2).sum(axis=(3, 4)) * apart[None] / 2  # each pair once
        self.sow("penalties", f"{name}_apart", self.orthogonality * pairs.sum())


def weights(size: int, start: Start) -> np.ndarray:  # (size, size)
    """Initial mixing weights; each row sums to 1."""
    if start == "balanced":
        return np.full((size, size), 1 / size, np.float32)
    return near_identity(size, 0.9)


build = Sluice
