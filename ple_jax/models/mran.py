"""Multiple relational attention, adapted (Zhao et al., KDD 2019)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.layers.experts import Towers


class MRAN(nn.Module):
    """Attention among features, from tasks to features, and among tasks.

        F   = features cut from a linear map of x                    (num_features, H)
        F  <- F + multi-head self-attention(F)                       feature-feature
        Y_t = sum_f softmax_f(q_t . K F_f / sqrt(H)) V F_f           task-feature
        Y  <- Y + multi-head self-attention(Y)                       task-task
        z_t = tower_t(Y_t),   two ReLU layers

    Attributes:
        num_tasks: T.
        num_domains: N; the model does not look at the domain.
        num_features: How many features the input is cut into.
        width: H, of a feature and of a task's representation; a multiple of num_heads.
        num_heads: Heads of both self-attentions.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit of a tower is dropped while training.
        batch_norm: Whether to normalise after each self-attention, as the original
            does, and before each ReLU.

    Reference: Zhao et al., KDD 2019; Tang et al., RecSys 2020, section 5.1.2.
    Differs from the paper: its formulas were not to be had in public, nor any code of
        its authors; this follows a description in words. That left open how features
        are cut, how alignment is scored, and all sizes. The original replaces
        task-feature attention by the weights learned in training when it scores; here
        it attends both times. Its penalty on the relation matrices is left out.
    """

    num_tasks: int
    num_domains: int = 1
    num_features: int = 8
    width: int = 32
    num_heads: int = 2
    tower_dims: tuple[int, ...] = (32, 16)
    dropout_rate: float = 0.0
    batch_norm: bool = False

    def __post_init__(self):
        sizes = {"num_features": self.num_features, "num_heads": self.num_heads}
        checks.at_least(1, width=self.width, **sizes)
        checks.dims(tower_dims=self.tower_dims)
        checks.rate(dropout_rate=self.dropout_rate)
        if self.width % self.num_heads:
            raise ValueError(
                f"width must be a multiple of the {self.num_heads} heads, got "
                f"{self.width}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32, not looked at
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task."""
        options = self.dropout_rate, self.batch_norm
        shape = (self.num_features, self.width)
        features = nn.DenseGeneral(shape, name="features")(x)
        features = self._related(features, train, "among_features")
        tasks = self._related(self._aligned(features), train, "among_tasks")
        towers = Towers(
            self.num_tasks, self.tower_dims, *options, columns=False, name="towers"
        )
        return towers(tasks, train)

    def _related(self, x: jax.Array, train: bool, name: str) -> jax.Array:
        """(B, items, H), each item with what it draws from the others."""
        # A bias of the keys would cancel in the softmax; the rest go without one, too.
        attention = nn.MultiHeadDotProductAttention(
            self.num_heads, use_bias=False, name=name
        )
        x = x + attention(x)
        if self.batch_norm:
            x = nn.BatchNorm(use_running_average=not train, name=f"{name}_norm")(x)
        return x

    def _aligned(self, features: jax.Array) -> jax.Array:  # (B, F, H) -> (B, T, H)
        """Each task's mixture of features; the weights (B, T, F) are sown."""
        shape = (self.num_tasks, self.width)
        query = self.param("query", nn.initializers.lecun_normal(), shape)
        keys = nn.Dense(self.width, use_bias=False, name="key")(features)
        values = nn.Dense(self.width, use_bias=False, name="value")(features)
        scores = jnp.einsum("th,bfh->btf", query, keys) / self.width**0.5
        weights = jax.nn.softmax(scores)
        self.sow("intermediates", "alignment", weights)
        return jnp.einsum("btf,bfh->bth", weights, values)


build = MRAN
