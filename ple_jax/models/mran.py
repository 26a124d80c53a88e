"""Multiple relational attention, adapted (Zhao et al., KDD 2019)."""

from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.layers.batch_last import BATCH_FIRST
from ple_jax.layers.norms import batch_normalise
from ple_jax.models.common import TowerDims, WithTowers
from ple_jax.space import OneOf
from ple_jax.types import Array


class MRAN(WithTowers):
    """Attention among features, from tasks to features, and among tasks.

        F   = features cut from a linear map of x                    (num_features, H)
        F  <- F + multi-head self-attention(F)                       feature-feature
        Y_t = sum_f softmax_f(q_t . K F_f / sqrt(H)) V F_f           task-feature
        Y  <- Y + multi-head self-attention(Y)                       task-task
        z_t = tower_t(Y_t),   two ReLU layers

    Attributes:
        num_domains: N; the model ignores the domain.
        num_features: Number of features that the input is cut into.
        width: H, the width of features and of task representations; a multiple of
            num_heads.
        num_heads: Number of heads of each self-attention.
        dropout_rate: Probability of dropping each hidden unit of a tower while
            training.
        batch_norm: Whether to batch-normalise after each self-attention, as the
            original does, and before each ReLU.

    Cost: grows with T by towers and task-feature attention, with T^2 by task-task
    attention, and with num_features^2; flat in N.

    Reference: Zhao et al., KDD 2019; Tang et al., RecSys 2020, section 5.1.2.
    Differs from the paper: its equations and its authors' code are not publicly
        available. This follows a description in words, which leaves open how features
        are cut, how alignment is scored, and all sizes. When scoring, the original
        replaces task-feature attention by weights learned in training; here both
        attend. Its penalty on the relation matrices is left out.
    """

    num_features: Annotated[int, OneOf(4, 8, 16)] = 8
    width: Annotated[int, OneOf(16, 32, 64)] = 32
    num_heads: Annotated[int, OneOf(1, 2, 4)] = 2
    tower_dims: TowerDims = (32, 16)

    def __post_init__(self):
        sizes = {"num_features": self.num_features, "num_heads": self.num_heads}
        checks.at_least(1, width=self.width, **sizes)
        if self.width % self.num_heads:
            raise ValueError(
                f"width must be a multiple of the {self.num_heads} heads, got "
                f"{self.width}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task."""
        shape = (self.num_features, self.width)
        features = nn.DenseGeneral(shape, name="features")(x)
        features = self._relate(features, train, "among_features")
        tasks = self._relate(self._align(features), train, "among_tasks")
        return self.apply_towers(tasks, train, axis=BATCH_FIRST)

    def _relate(self, x: jax.Array, train: bool, name: str) -> jax.Array:
        """Adds to each item of (B, items, H) what it draws from all items."""
        # A bias of the keys would cancel in the softmax; the rest have none either.
        attention = nn.MultiHeadDotProductAttention(
            self.num_heads, use_bias=False, name=name
        )
        x = x + attention(x)
        if self.batch_norm:
            x = batch_normalise(
                x, self.norm_window, BATCH_FIRST, train, name=f"{name}_norm"
            )
        return x

    def _align(self, features: jax.Array) -> jax.Array:  # (B, F, H) -> (B, T, H)
        """Mixes features for each task; sows the weights (B, T, F)."""
        shape = (self.num_tasks, self.width)
        query = self.param("query", nn.initializers.lecun_normal(), shape)
        keys = nn.Dense(self.width, use_bias=False, name="key")(features)
        values = nn.Dense(self.width, use_bias=False, name="value")(features)
        scores = jnp.einsum("th,bfh->btf", query, keys) / self.width**0.5
        weights = jax.nn.softmax(scores)
        self.sow("intermediates", "alignment", weights)
        return jnp.einsum("btf,bfh->bth", weights, values)


build = MRAN
