"""Experts stacked along one axis, gates that mix them, and towers."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.layers.batch_last import BATCH_FIRST, Axis, Dense
from ple_jax.layers.dropout import Dropout
from ple_jax.layers.gates import Gates, Residual
from ple_jax.layers.mixture import dense, mixture
from ple_jax.layers.norms import batch_normalise
from ple_jax.layers.patterns import Pattern, patterns_of
from ple_jax.layers.products import OfOwners
from ple_jax.types import Array


@dataclasses.dataclass(frozen=True)
class Routing:
    """Who reads what: all that tells one mixture-of-experts model from another.

    Attributes:
        owner: For each expert, the group whose input it reads (E,).
        visible: For each gate, the experts that it mixes; G tuples of expert numbers.
        given: Number of further experts, whose outputs come from outside; they come
            last.
        residual: For each gate, the experts whose outputs it adds to its mixture once
            more; none by default.
        unit_residual: Whether it adds them as they are, not by learned weights.
    """

    owner: tuple[int, ...]
    visible: tuple[tuple[int, ...], ...]
    given: int = 0
    residual: tuple[tuple[int, ...], ...] = ()
    unit_residual: bool = False

    @property
    def experts(self) -> int:
        """E, the given ones included."""
        return len(self.owner) + self.given

    @cached_property
    def mask(self) -> np.ndarray:  # (G, E) bool
        """Whether gate g sees expert e."""
        mask = np.zeros((len(self.visible), self.experts), bool)
        for gate, experts in enumerate(self.visible):
            mask[gate, list(experts)] = True
        return mask

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """The gates, cut where they see experts in another way."""
        return tuple(patterns_of(self.visible))

    def with_given(self, count: int) -> "Routing":
        """The same gates, with the outputs of the last `count` experts given."""
        owner = self.owner[: len(self.owner) - count]
        return dataclasses.replace(self, owner=owner, given=count)


def everyone_sees_all(num_gates: int, num_experts: int, owned: bool = False) -> Routing:
    """Each gate mixes every expert; experts read one group each, or all one input.

    Example:
        >>> everyone_sees_all(num_gates=2, num_experts=3).mask.astype(int)
        array([[1, 1, 1],
               [1, 1, 1]])
    """
    owner = tuple(range(num_experts)) if owned else (0,) * num_experts
    return Routing(owner, (tuple(range(num_experts)),) * num_gates)


def own_and_shared(
    own: Sequence[int], shared: int, shared_gate: bool = False
) -> Routing:
    """Each group's gate sees the group's own experts, then the shared ones.

    Groups 0 .. len(own)-1 own `own[g]` experts each; the last group is shared, and its
    gate, if it has one, sees every expert.

    Example:
        >>> routing = own_and_shared([2, 1], shared=1)
        >>> routing.owner
        (0, 0, 1, 2)
        >>> routing.mask.astype(int)
        array([[1, 1, 0, 1],
               [0, 0, 1, 1]])
    """
    counts = [*own, shared]
    owner = tuple(np.repeat(np.arange(len(counts)), counts).tolist())
    groups = range(len(own))
    seen = [tuple(e for e, o in enumerate(owner) if o in (g, len(own))) for g in groups]
    if shared_gate:
        seen.append(tuple(range(len(owner))))
    return Routing(owner, tuple(seen))


def units_see_all(
    own: Sequence[int], shared: int, shared_gate: bool = False
) -> Routing:
    """Each group's gate sees the experts of all groups, and adds its own once more.

    Groups are those of `own_and_shared`; the shared one is there if it has experts.
    Own experts are added as they are if each group owns one.

    Example:
        >>> routing = units_see_all([2, 1], shared=1)
        >>> routing.visible
        ((0, 1, 2, 3), (0, 1, 2, 3))
        >>> routing.residual
        ((0, 1), (2,))
    """
    routing = own_and_shared(own, shared, shared_gate and shared > 0)
    gates = range(len(routing.visible))
    return dataclasses.replace(
        routing,
        visible=(tuple(range(routing.experts)),) * len(gates),
        residual=tuple(
            tuple(e for e, owner in enumerate(routing.owner) if owner == g)
            for g in gates
        ),
        unit_residual={*own, shared or 1} == {1},
    )


class HiddenLayers(nn.Module, kw_only=True):
    """Options of all modules that have hidden layers.

    Attributes:
        dropout_rate: Probability of dropping each hidden unit while training.
        batch_norm: Whether to batch-normalise before each ReLU.
        norm_window: As in `norms.BatchNorm`.
        axis: Where examples lie in hidden layers.
    """

    dropout_rate: float = 0.0
    batch_norm: bool = False
    norm_window: float = 0.1
    axis: Axis = BATCH_FIRST

    @property
    def options(self) -> dict[str, Any]:
        """These fields, to hand on."""
        names = ("dropout_rate", "batch_norm", "norm_window", "axis")
        return {name: getattr(self, name) for name in names}

    def activate(self, x: jax.Array, train: bool) -> jax.Array:
        """Normalises, rectifies and drops units of (B, H), or (H, B)."""
        if self.batch_norm:
            x = batch_normalise(x, self.norm_window, self.axis, train)
        return Dropout(self.dropout_rate, deterministic=not train)(nn.relu(x))


class MLP(HiddenLayers):
    """Dense layers, each followed by ReLU.

        h <- relu(W h + b)

    Attributes:
        dims: Width of each layer.
        train: Whether to drop units, and to normalise by the batch.
    """

    dims: tuple[int, ...]
    train: bool = False

    @nn.compact
    def __call__(
        self,
        x: Array | OfOwners,  # (B, D), or (D, B)
    ) -> Array:  # (B, H), or (H, B)
        """The last layer's output."""
        for i, dim in enumerate(self.dims):
            x = Dense(dim, axis=self.axis, name=f"Dense_{i}")(x)
            x = self.activate(x, self.train)
        return cast(Array, x)


def stack(
    module: type[nn.Module],
    size: int,
    *,
    one_input: bool,
    axis: Axis = BATCH_FIRST,
    **fields: Any,
) -> nn.Module:
    """`size` independent copies of `module(axis=axis, **fields)`, as one module.

    Every parameter has a leading axis of copies, each drawn with its own key, so that
    its fan-in is one copy's. The output has that axis too, (B, copies, H) or (copies,
    H, B), and so has the input, unless all copies read `one_input`.
    """
    stacked = nn.vmap(
        module,
        in_axes=None if one_input else axis.networks,
        out_axes=axis.networks,
        axis_size=size,
        variable_axes={"params": 0, "batch_stats": 0},
        split_rngs={"params": True, "dropout": True},
    )
    return stacked(axis=axis, **fields)


class Level(HiddenLayers):
    """One level of experts and gates.

        y_g = sum_e w_ge f_e(x_owner(e)),   w_g = softmax over what g sees (W_g s_g)

    With a residual, gate g adds v_ge f_e(x_owner(e)) of the experts that it names.

    Attributes:
        routing: Which input each expert reads, and which experts each gate mixes.
        dims: Widths of each expert's layers.
        gate_use_bias: Whether gates have a bias.

    Reference: Tang et al., RecSys 2020, equations 2-4 and 6; Li et al., KDD 2023,
        equation 11.
    """

    routing: Routing
    dims: tuple[int, ...]
    gate_use_bias: bool = False

    @nn.compact
    def __call__(
        self,
        x: Array,  # (B, D) for all experts, or (B, groups, D)
        selector: Array,  # (B, D) for all gates, or (B, groups, D)
        train: bool = False,
        given: Array | None = None,  # (B, routing.given, H)
    ) -> jax.Array:  # (B, G, H)
        """Each gate's mixture; sows the weights (B, G, E) as `mixture`."""
        axis, bias = self.axis, self.gate_use_bias
        outputs = [] if given is None else [axis.enter(given)]
        if self.routing.owner:
            outputs = [self._run_experts(axis.enter(x), train), *outputs]
        f = jnp.concatenate(outputs, axis=axis.networks)
        gates = Gates(self.routing.patterns, bias, axis, name="gates")
        weights = gates(axis.enter(selector))
        if self.is_mutable_collection("intermediates"):
            everyone = dense(self.routing.patterns, weights, self.routing.experts, axis)
            self.sow("intermediates", "mixture", axis.leave(everyone))
        if self.routing.residual:
            weights = self._make_residual()(weights)
        return axis.leave(mixture(self.routing.patterns, weights, f, axis))

    def _make_residual(self) -> Residual:
        routing = self.routing
        return Residual(
            routing.patterns,
            routing.residual,
            routing.unit_residual,
            self.axis,
            name="residual",
        )

    def _run_experts(self, x: jax.Array, train: bool) -> jax.Array:
        """(B, D) or (B, groups, D) -> (B, E, H); with the batch last, if it is."""
        read = self._inputs(x)
        one = isinstance(read, OfOwners) or read.ndim == 2
        fields = self.options | {"dims": self.dims, "train": train, "name": "experts"}
        return stack(MLP, len(self.routing.owner), one_input=one, **fields)(read)

    def _inputs(self, x: jax.Array) -> jax.Array | OfOwners:
        """The one input of all experts, or each expert's own along an axis E.

        All experts of one input are one product, (E*H, D) x (D, B). With the batch
        first it transposes their kernels and slopes. For few examples that is most of
        the work, and a product for each expert takes less (see benchmarks/README.md).
        """
        owner = self.routing.owner
        if x.ndim == 3 and self.axis.batch_last:
            return OfOwners(x, owner)
        if x.ndim == 3:
            return self.axis.take(x, np.array(owner))
        if self.axis.batch_last or 8 * len(x) > self.dims[0]:
            return x
        return jnp.broadcast_to(x[:, None], (len(x), len(owner), x.shape[1]))


class Towers(HiddenLayers):
    """A tower and a head per task, on the task's own input or on one for all.

        z_t = w_t . MLP_t(x_t) + b_t

    Attributes:
        num_towers: T, or fewer towers of several outputs each.
        dims: Widths of each tower's hidden layers.
        outputs: Logits per tower.
    """

    num_towers: int
    dims: tuple[int, ...]
    outputs: int = 1

    @nn.compact
    def __call__(
        self,
        x: Array,  # (B, towers, H), or (B, H) for all
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit per task."""
        size, x = self.num_towers, self.axis.enter(x)
        if self.dims:
            fields = self.options | {"dims": self.dims, "train": train}
            x = stack(MLP, size, one_input=x.ndim == 2, **fields, name="mlp")(x)
        fields = {"axis": self.axis, "features": self.outputs}
        x = stack(Dense, size, one_input=x.ndim == 2, **fields, name="heads")(x)
        x = self.axis.leave(x)  # (B, towers, outputs)
        return x.reshape(len(x), -1)
