"""A level where the experts of all domains meet in one shared gate."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.layers.experts import MLP, Level, Routing, everyone_sees_all, stack
from ple_jax.layers.gates import Gates
from ple_jax.layers.groups import Grouping, OwnLevel
from ple_jax.layers.per_domain import dropout_key, dropout_keys, run_copies
from ple_jax.layers.remat import recompute_in_loop
from ple_jax.types import Array, PyTree


class Meeting(nn.Module):
    """A level below the last, whose shared gate mixes the experts of all domains.

        y_g = sum_e w_ge f_e(x_owner(e)),   e in own(g) and shared
        y_s = sum_e w_se f_e(x_owner(e)),   all e

    It gives what `level` gives, but for the gates of other domains than an example's,
    which nothing above reads. Every expert runs on every example, one domain's after
    the other's, so that backward keeps the results of their products and little else.

    Attributes:
        level: The experts and gates of all groups, the shared one last; its parameters
            are those of this module.
        grouping: The groups of all domains.
        within: What the groups of one domain own and see; shared experts come last.
        shared: Number of shared experts.
        remat: Whether the backward pass recomputes products too.

    Reference: Tang et al., RecSys 2020, equations 6 and 7.
    """

    level: Level
    grouping: Grouping
    within: Routing
    shared: int
    remat: bool = False

    def setup(self) -> None:
        """Puts no name between this module and the level's parameters."""
        nn.share_scope(self, self.level)

    def __call__(
        self,
        x: Array,  # (B, D) for all groups, or (B, G + 1, D)
        domain: Array,  # (B,)
        train: bool = False,
    ) -> jax.Array:  # (B, in_domain + 1, H)
        """The mixtures of the domain's own gates, then the shared gate's.

        Sows their weights: (B, in_domain, own + shared) as `level/mixture`, and (B, E)
        as `shared_mixture`.
        """
        if self.is_initializing():
            self.level(x, x, train)  # makes the parameters
        common, mine = x, x
        if x.ndim == 3:
            common, mine = x[:, -1], self.grouping.own(x[:, :-1], domain)
        weights = self._shared_weights(common)
        self.sow("intermediates", "shared_mixture", weights)
        mixed, seen = self._run_experts(x, common, weights, domain, train)
        return jnp.concatenate(
            [self._mix_own(mine, seen, domain, train), mixed[:, None]], axis=1
        )

    @property
    def _own(self) -> int:
        return len(self.within.owner) - self.shared

    def _gates(self) -> tuple[PyTree, PyTree]:
        """The parameters of each domain's own gates (N, ...), and of the shared one."""
        params: PyTree = self.level.variables["params"]
        gates = params.get("gates", {})
        return self._cut(gates, sum(p.pairs for p in self.within.patterns), axis=-1)

    def _shared_weights(self, x: Array) -> jax.Array:  # (B, D) -> (B, E)
        routing = everyone_sees_all(1, len(self.level.routing.owner))
        gate = Gates(routing.patterns, self.level.gate_use_bias, parent=None)
        weights: Any = gate.apply({"params": self._gates()[1]}, jnp.asarray(x))
        return weights[0][:, 0]

    def _mix_own(self, x: Array, seen: Array, domain: Array, train: bool) -> jax.Array:
        """Each own gate's mixture (B, in_domain, H) of what it sees."""
        routing = self.within.with_given(seen.shape[1])
        level = OwnLevel(self.level.clone(routing=routing, parent=None), parent=None)
        private = {"level": {"gates": self._gates()[0]}}
        inputs, remat = (x, seen), self.remat
        return run_copies(self, level, private, domain, inputs, train, remat)

    def _run_experts(
        self, x: Array, common: Array, weights: Array, domain: Array, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """The mixture of all (B, H), and what own gates see (B, own + shared, H)."""
        own, number = self._own, self.grouping.num_domains
        params: PyTree = self.level.variables["params"]
        each, shared = self._cut(params["experts"], own, axis=0)
        of_each, of_shared = self._cut(weights, own, axis=1)
        read: tuple[PyTree, ...] = ()
        if x.ndim == 3:
            read = (self._cut(x, self.grouping.in_domain, axis=1)[0],)
        keys = lambda n: dropout_keys(self, n) if train else ()

        def add(sums, part):
            (mixed, mine), (this, params, weights, key, read) = sums, part
            f = self._outputs(params, *(read or (common,)), key, train)
            mine = jnp.where((domain == this)[:, None, None], f, mine)
            return (mixed + _mixture(weights, f), mine), None

        given = self._outputs(shared, common, keys(1), train)
        none = jnp.zeros((len(x), own, given.shape[-1]), given.dtype)
        parts = (jnp.arange(number), each, of_each, keys((number, 1)), read)
        start, add = (
            (_mixture(of_shared, given), none),
            recompute_in_loop(add, self.remat),
        )
        (mixed, mine), _ = jax.lax.scan(add, start, parts)
        return mixed.astype(given.dtype), jnp.concatenate([mine, given], axis=1)

    def _outputs(self, experts: PyTree, x: Array, keys: Any, train: bool) -> Any:
        """Some experts' outputs (B, e, H) on (B, D), or on their groups' (B, G, D)."""
        size, level = len(jax.tree.leaves(experts)[0]), self.level
        if not size:
            return jnp.zeros((len(x), 0, level.dims[-1]), x.dtype)
        if x.ndim == 3:
            x = x[:, self.within.owner[:size]]
        fields = level.options | {"dims": level.dims, "train": train, "parent": None}
        mlps = stack(MLP, size, one_input=x.ndim == 2, **fields)
        rngs = {"dropout": dropout_key(keys)} if len(keys) else {}
        return mlps.apply({"params": experts}, x, rngs=rngs)

    def _cut(self, tree: PyTree, size: int, axis: int) -> tuple[PyTree, PyTree]:
        """Cuts an axis into `size` for each domain, (N, ..., size, ...), and a rest."""
        number = self.grouping.num_domains

        def each(leaf):
            head = jax.lax.slice_in_dim(leaf, 0, number * size, axis=axis)
            at = axis % leaf.ndim
            shape = (*leaf.shape[:at], number, size, *leaf.shape[at + 1 :])
            return jnp.moveaxis(head.reshape(shape), at, 0)

        rest = lambda leaf: jax.lax.slice_in_dim(leaf, number * size, None, axis=axis)
        return jax.tree.map(each, tree), jax.tree.map(rest, tree)


def _mixture(weights: Array, outputs: Array) -> jax.Array:
    """sum_e w_e f_e (B, H) of (B, e) and (B, e, H), in float32 at least."""
    wide = jnp.promote_types(outputs.dtype, jnp.float32)
    return jnp.einsum("be,beh->bh", weights, outputs, preferred_element_type=wide)
