"""Experts stacked along one axis, the gates that mix them, and towers."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.layers.dropout import Dropout


@dataclasses.dataclass(frozen=True)
class Routing:
    """Who reads what: everything that tells one mixture-of-experts model from another.

    Attributes:
        owner: For each expert, the group whose input it reads (E,).
        visible: For each gate, the experts that it mixes; G tuples of expert numbers.
        given: Experts beside these, whose outputs come from elsewhere; they stand last.
    """

    owner: tuple[int, ...]
    visible: tuple[tuple[int, ...], ...]
    given: int = 0

    @cached_property
    def mask(self) -> np.ndarray:  # (G, E) bool
        """Whether gate g sees expert e."""
        mask = np.zeros((len(self.visible), len(self.owner) + self.given), bool)
        for gate, experts in enumerate(self.visible):
            mask[gate, list(experts)] = True
        return mask

    @cached_property
    def weighed(self) -> np.ndarray:  # (G, E) bool
        """The pairs that need a weight: a gate that sees one expert has no choice."""
        return self.mask & (self.mask.sum(axis=1, keepdims=True) > 1)

    @cached_property
    def pair(self) -> np.ndarray:  # (G, E) int
        """The number of each weighed pair among all; one past the last elsewhere."""
        count = self.weighed.sum()
        numbers = np.cumsum(self.weighed).reshape(self.weighed.shape) - 1
        return np.where(self.weighed, numbers, count)


def everyone_sees_all(num_gates: int, num_experts: int, owned: bool = False) -> Routing:
    """Each gate mixes every expert; experts read a group each, or all one input."""
    owner = tuple(range(num_experts)) if owned else (0,) * num_experts
    return Routing(owner, (tuple(range(num_experts)),) * num_gates)


def own_and_shared(
    own: Sequence[int], shared: int, shared_gate: bool = False, given: bool = False
) -> Routing:
    """A gate per group sees its own experts, then the shared ones.

    Groups 0 .. len(own)-1 own `own[g]` experts each; the last group is shared, and its
    gate, if there is one, sees every expert. The outputs of the shared ones may be
    given.
    """
    counts = [*own, shared]
    owner = tuple(int(g) for g in np.repeat(np.arange(len(counts)), counts))
    groups = range(len(own))
    seen = [tuple(e for e, o in enumerate(owner) if o in (g, len(own))) for g in groups]
    if shared_gate:
        seen.append(tuple(range(len(owner))))
    return (
        Routing(owner[: sum(own)], tuple(seen), shared)
        if given
        else Routing(owner, tuple(seen))
    )


class MLP(nn.Module):
    """Dense layers, each followed by ReLU.

        h <- relu(W h + b)

    Attributes:
        dims: Width of each layer.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU.
        train: Whether dropout drops, and normalisation uses the batch.
    """

    dims: tuple[int, ...]
    dropout_rate: float = 0.0
    batch_norm: bool = False
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # (B, D) -> (B, H)
        """The last layer's output."""
        for dim in self.dims:
            x = nn.Dense(dim)(x)
            x = activated(x, self.dropout_rate, self.batch_norm, self.train)
        return x


def activated(
    x: jax.Array, dropout_rate: float, batch_norm: bool, train: bool
) -> jax.Array:
    """What follows a dense layer, within a module."""
    if batch_norm:
        x = nn.BatchNorm(use_running_average=not train)(x)
    return Dropout(dropout_rate, deterministic=not train)(nn.relu(x))


def stack(module: type[nn.Module], size: int, one_input: bool) -> type[nn.Module]:
    """`size` independent copies of an array-to-array module, as one.

    Every parameter has a leading axis of copies, each drawn with a key of its own, so
    that fan-in is that of one copy. Axis 1 of the output, and unless all copies read
    `one_input` (B, D) of the input too, is that of the copies.
    """
    return nn.vmap(
        module,
        in_axes=None if one_input else 1,
        out_axes=1,
        axis_size=size,
        variable_axes={"params": 0, "batch_stats": 0},
        split_rngs={"params": True, "dropout": True},
    )


class Gates(nn.Module):
    """The weight of each expert in each gate's mixture: a softmax over those it sees.

        w_g = softmax(W_g s_g)

    Attributes:
        routing: Which experts each gate sees; W_g has just these columns.
        use_bias: Whether to add a bias before the softmax.

    Reference: Tang et al., RecSys 2020, equation 3; Ma et al., KDD 2018, equation 8.
    """

    routing: Routing
    use_bias: bool = False

    @nn.compact
    def __call__(
        self,
        selector: jax.Array,  # (B, D) for all gates, or (B, groups, D), groups >= G
    ) -> jax.Array:  # (B, G, E)
        """Rows sum to 1 and are 0 where a gate does not see an expert."""
        routing, batch = self.routing, selector.shape[0]
        pairs = int(routing.weighed.sum())
        if not pairs:
            ones = jnp.asarray(routing.mask, selector.dtype)
            return jnp.broadcast_to(ones, (batch, *ones.shape))
        shape = (selector.shape[-1], pairs)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        # A zero stands in where there is no weight.
        spread = jnp.pad(kernel, ((0, 0), (0, 1)))[:, routing.pair]  # (D, G, E)
        if selector.ndim == 2:  # one product for all gates
            logits = jnp.einsum("bd,dge->bge", selector, spread)
        else:
            own = selector[:, : len(routing.visible)]
            logits = jnp.einsum("bgd,dge->bge", own, spread)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (pairs,))
            logits += jnp.pad(bias, (0, 1))[routing.pair][None]
        return jax.nn.softmax(logits, where=routing.mask[None])


class Level(nn.Module):
    """One level of experts and gates.

        y_g = sum_e w_ge f_e(x_owner(e)),   w_g = softmax over what g sees (W_g s_g)

    Attributes:
        routing: Which input each expert reads, and which experts each gate mixes.
        dims: Widths of each expert's layers.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether experts normalise before each ReLU.
        gate_use_bias: Whether gates have a bias.

    Reference: Tang et al., RecSys 2020, equations 2-4 and 6.
    """

    routing: Routing
    dims: tuple[int, ...]
    dropout_rate: float = 0.0
    batch_norm: bool = False
    gate_use_bias: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D) for all experts, or (B, groups, D)
        selector: jax.Array,  # (B, D) for all gates, or (B, groups, D)
        train: bool = False,
        given: jax.Array | None = None,  # (B, routing.given, H)
    ) -> jax.Array:  # (B, G, H)
        """Each gate's mixture; the weights (B, G, E) are sown as `mixture`."""
        outputs = [] if given is None else [given]
        if self.routing.owner:
            outputs = [self._outputs(x, train), *outputs]
        weights = Gates(self.routing, self.gate_use_bias, name="gates")(selector)
        self.sow("intermediates", "mixture", weights)
        return jnp.einsum("bge,beh->bgh", weights, jnp.concatenate(outputs, axis=1))

    def _outputs(self, x: jax.Array, train: bool) -> jax.Array:  # (B, E, H)
        owner, one_input = self.routing.owner, x.ndim == 2
        experts = stack(MLP, len(owner), one_input)(
            self.dims, self.dropout_rate, self.batch_norm, train, name="experts"
        )
        # With one input for all experts this is one product (B, D) x (D, E*H).
        return experts(x if one_input else x[:, np.array(owner)])


class Towers(nn.Module):
    """One tower and head per task, on the task's own input or on one for all.

        z_t = w_t . MLP_t(x_t) + b_t

    Attributes:
        num_towers: T, or fewer towers of several outputs each.
        dims: Widths of each tower's hidden layers.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether towers normalise before each ReLU.
        outputs: Logits of a tower.
    """

    num_towers: int
    dims: tuple[int, ...]
    dropout_rate: float = 0.0
    batch_norm: bool = False
    outputs: int = 1

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, towers, H), or (B, H) for all
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task."""
        if self.dims:
            towers = stack(MLP, self.num_towers, one_input=x.ndim == 2)
            options = self.dropout_rate, self.batch_norm, train
            x = towers(self.dims, *options, name="mlp")(x)
        heads = stack(nn.Dense, self.num_towers, one_input=x.ndim == 2)
        return heads(self.outputs, name="heads")(x).reshape(x.shape[0], -1)
