"""Experts stacked along one axis, the gates that mix them, and towers."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.layers.batch_last import dense, einsum, networks, turned, turned_back
from ple_jax.layers.dropout import Dropout
from ple_jax.layers.mixture import mixture


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
        columns: Whether examples are columns.
    """

    dims: tuple[int, ...]
    dropout_rate: float = 0.0
    batch_norm: bool = False
    train: bool = False
    columns: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D), or (D, B)
    ) -> jax.Array:  # (B, H), or (H, B)
        """The last layer's output."""
        options = self.dropout_rate, self.batch_norm, self.train, self.columns
        for i, dim in enumerate(self.dims):
            x = activated(dense(self.columns)(dim, name=f"Dense_{i}")(x), *options)
        return x


def activated(
    x: jax.Array, dropout_rate: float, batch_norm: bool, train: bool, columns: bool
) -> jax.Array:
    """What follows a dense layer, within a module."""
    if batch_norm:
        axis = 0 if columns else -1  # of the hidden units
        x = nn.BatchNorm(use_running_average=not train, axis=axis)(x)
    return Dropout(dropout_rate, deterministic=not train)(nn.relu(x))


def stack(
    module: type[nn.Module], size: int, one_input: bool, columns: bool = False
) -> type[nn.Module]:
    """`size` independent copies of a module on rows, or on columns, as one.

    Every parameter has a leading axis of copies, each drawn with a key of its own, so
    that fan-in is that of one copy. The output has that axis too, (copies, H, B) or
    (B, copies, H), and so has the input, unless all copies read `one_input`.
    """
    axis = 0 if columns else 1
    return nn.vmap(
        module,
        in_axes=None if one_input else axis,
        out_axes=axis,
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
        columns: Whether to compute on columns.

    Reference: Tang et al., RecSys 2020, equation 3; Ma et al., KDD 2018, equation 8.
    """

    routing: Routing
    use_bias: bool = False
    columns: bool = True

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
        s, columns = turned(selector, self.columns), self.columns
        if s.ndim == 2:  # one product for all gates
            logits = einsum("dge,bd->bge", spread, s, columns=columns)
        else:
            # Cut behind the turn: so edges cancel.
            own = networks(s, slice(len(routing.visible)), columns)
            logits = einsum("dge,bgd->bge", spread, own, columns=columns)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (pairs,))
            logits += turned(jnp.pad(bias, (0, 1))[routing.pair][None], columns)
        experts = -2 if columns else -1
        mask = turned(routing.mask[None], columns)
        weights = jax.nn.softmax(logits, axis=experts, where=mask)
        return turned_back(weights, columns)


class Level(nn.Module):
    """One level of experts and gates.

        y_g = sum_e w_ge f_e(x_owner(e)),   w_g = softmax over what g sees (W_g s_g)

    Attributes:
        routing: Which input each expert reads, and which experts each gate mixes.
        dims: Widths of each expert's layers.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether experts normalise before each ReLU.
        gate_use_bias: Whether gates have a bias.
        columns: Whether to compute on columns.

    Reference: Tang et al., RecSys 2020, equations 2-4 and 6.
    """

    routing: Routing
    dims: tuple[int, ...]
    dropout_rate: float = 0.0
    batch_norm: bool = False
    gate_use_bias: bool = False
    columns: bool = True

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D) for all experts, or (B, groups, D)
        selector: jax.Array,  # (B, D) for all gates, or (B, groups, D)
        train: bool = False,
        given: jax.Array | None = None,  # (B, routing.given, H)
    ) -> jax.Array:  # (B, G, H)
        """Each gate's mixture; the weights (B, G, E) are sown as `mixture`."""
        columns = self.columns
        outputs = [] if given is None else [turned(given, columns)]
        if self.routing.owner:
            outputs = [self._outputs(turned(x, columns), train), *outputs]
        f = jnp.concatenate(outputs, axis=0 if columns else 1)
        gates = Gates(self.routing, self.gate_use_bias, columns, name="gates")
        weights = gates(selector)
        self.sow("intermediates", "mixture", weights)
        return turned_back(mixture(turned(weights, columns), f, columns), columns)

    def _outputs(self, x: jax.Array, train: bool) -> jax.Array:  # (E, H, B), (B, E, H)
        owner, columns = np.array(self.routing.owner), self.columns
        options = self.dropout_rate, self.batch_norm, train, columns
        experts = stack(MLP, len(owner), x.ndim == 2, columns)
        # With one input for all experts this is one product (E*H, D) x (D, B).
        each = x if x.ndim == 2 else networks(x, owner, columns)
        return experts(self.dims, *options, name="experts")(each)


class Towers(nn.Module):
    """One tower and head per task, on the task's own input or on one for all.

        z_t = w_t . MLP_t(x_t) + b_t

    Attributes:
        num_towers: T, or fewer towers of several outputs each.
        dims: Widths of each tower's hidden layers.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether towers normalise before each ReLU.
        outputs: Logits of a tower.
        columns: Whether to compute on columns.
    """

    num_towers: int
    dims: tuple[int, ...]
    dropout_rate: float = 0.0
    batch_norm: bool = False
    outputs: int = 1
    columns: bool = True

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, towers, H), or (B, H) for all
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task."""
        x, columns = turned(x, self.columns), self.columns
        if self.dims:
            towers = stack(MLP, self.num_towers, x.ndim == 2, columns)
            options = self.dropout_rate, self.batch_norm, train, columns
            x = towers(self.dims, *options, name="mlp")(x)
        heads = stack(dense(columns), self.num_towers, x.ndim == 2, columns)
        x = heads(self.outputs, name="heads")(x)
        x = turned_back(x, columns)  # (B, towers, outputs)
        return x.reshape(len(x), -1)
