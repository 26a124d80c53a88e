"""The options that models share, their help, and what follows from them.

Each class adds one idea to the one before: tasks and domains, towers, experts, groups,
gates. A model builds on the last one that it needs, and states its own options only.
"""

from typing import Annotated, Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax import checks
from ple_jax.layers.batch_last import BATCH_FIRST, BATCH_LAST, Axis
from ple_jax.layers.experts import MLP, Level, Routing, Towers, stack
from ple_jax.layers.groups import Grouping, Groups, Head
from ple_jax.layers.norms import PartitionedNorm, batch_normalise
from ple_jax.layers.per_domain import PRIVATE, PerDomain
from ple_jax.layers.remat import recompute_module
from ple_jax.space import Between, OneOf
from ple_jax.types import Array

InputNorm = Literal["none", "batch", "layer"]
TowerDims = Annotated[tuple[int, ...], OneOf((16,), (32,), (32, 16), (64, 32))]
ExpertDims = Annotated[tuple[int, ...], OneOf((32,), (64,), (128,), (128, 64))]


class Model(nn.Module):
    """A model of tasks and domains: (x (B, D), domain (B,), train) -> logits (B, T).

    Attributes:
        num_tasks: T.
        num_domains: N.
        dropout_rate: Probability of dropping each hidden unit while training.
    """

    num_tasks: int
    num_domains: int = 1
    dropout_rate: Annotated[float, Between(0.0, 0.5)] = 0.0

    def __post_init__(self):
        checks.rate(dropout_rate=self.dropout_rate)
        super().__post_init__()

    def sow_penalty(self, name: str, value: jax.Array) -> None:
        """Adds `value` () to the loss of a training step; `init` has no use for it."""
        if not self.is_initializing():
            self.sow("penalties", name, value)


class WithDomainInput(Model):
    """A model that can normalise its input by domain, and add an auxiliary network.

        x' = PartitionedNorm(x)
        a  = MLP([embedding_p, x']),   added to the logits

    Attributes:
        partitioned_norm: Whether to normalise the input by domain.
        input_norm: What normalises it otherwise: nothing (`none`), the statistics of
            the whole `batch`, or each example's own (`layer`).
        momentum: Momentum of the normalisation's moving averages, in [0, 1).
        norm_epsilon: Added to the variance by the normalisation.
        norm_window: How far back the moving averages reach, as a share of the batches
            so far, until their momentum is `momentum`; 0 is no such limit.
        auxiliary_dims: Widths of the hidden layers of the auxiliary network; empty to
            leave it out.
        domain_dim: Width of the domain's embedding, which the auxiliary network reads.

    Reference: Sheng et al., CIKM 2021, sections 3.2.1 and 3.2.3.
    """

    partitioned_norm: bool = False
    input_norm: InputNorm = "none"
    momentum: float = 0.99
    norm_epsilon: float = 1e-3
    norm_window: float = 0.1
    auxiliary_dims: tuple[int, ...] = ()
    domain_dim: int = 8

    def __post_init__(self):
        checks.dims(auxiliary_dims=self.auxiliary_dims)
        checks.at_least(1, domain_dim=self.domain_dim)
        checks.at_least(1e-10, norm_epsilon=self.norm_epsilon)
        checks.rate(momentum=self.momentum, norm_window=self.norm_window)
        checks.choice(InputNorm, input_norm=self.input_norm)
        if self.partitioned_norm and self.input_norm != "none":
            raise ValueError(
                f"input_norm = {self.input_norm!r} normalises the input instead of "
                "partitioned_norm: set partitioned_norm = false."
            )
        super().__post_init__()

    def normalise(self, x: Array, domain: Array, train: bool) -> Array:  # (B, D)
        """Runs the module `norm`, if there is to be one."""
        if not self.partitioned_norm:
            return self._normalise_alike(x, train)
        norm = PartitionedNorm(
            self.num_domains,
            self.momentum,
            self.norm_epsilon,
            self.norm_window,
            name="norm",
        )
        return norm(x, domain, train)

    def _normalise_alike(self, x: Array, train: bool) -> Array:
        """Normalises all domains alike, or not at all."""
        if self.input_norm == "batch":
            window, x = self.norm_window, jnp.asarray(x)
            return batch_normalise(x, window, BATCH_FIRST, train, name="norm")
        return nn.LayerNorm(name="norm")(x) if self.input_norm == "layer" else x

    def add_auxiliary(
        self,
        logits: jax.Array,  # (B, T)
        x: Array,  # (B, D), normalised
        domain: Array,  # (B,)
        train: bool,
    ) -> jax.Array:  # (B, T)
        """Adds the logits of the auxiliary network, if there is to be one."""
        if not self.auxiliary_dims:
            return logits
        shape = (self.num_domains, self.domain_dim)
        start = nn.initializers.normal(0.05)
        table = DomainEmbedding(start, shape, name="domain")()
        x = jnp.concatenate([jnp.asarray(table)[domain], x], axis=1)
        options: dict[str, Any] = {"dropout_rate": self.dropout_rate, "train": train}
        hidden = MLP(self.auxiliary_dims, **options, name="auxiliary")(x)
        return logits + nn.Dense(self.num_tasks, name="auxiliary_head")(hidden)


class DomainEmbedding(nn.Module):
    """A private vector for each domain: the parameter (N, dim)."""

    start: nn.initializers.Initializer
    shape: tuple[int, int]

    @nn.compact
    def __call__(self) -> jax.Array:
        """All domains' vectors."""
        return self.param(PRIVATE, self.start, self.shape)


class WithTowers(Model):
    """A model whose tasks have towers.

    Attributes:
        tower_dims: Widths of the hidden layers of each task's tower.
        batch_norm: Whether to batch-normalise before each ReLU; the papers do not.
        norm_window: How far back the moving statistics of normalisations reach, as a
            share of the batches so far, up to a momentum of 0.99; 0 is no such limit.
    """

    tower_dims: TowerDims = (32,)
    batch_norm: bool = False
    norm_window: float = 0.1

    def __post_init__(self):
        checks.dims(tower_dims=self.tower_dims)
        checks.rate(norm_window=self.norm_window)
        super().__post_init__()

    @property
    def regularisation(self) -> dict[str, Any]:
        """The options of every module with hidden layers."""
        names = ("dropout_rate", "batch_norm", "norm_window")
        return {name: getattr(self, name) for name in names}

    def make_mlps(
        self, size: int, dims: tuple[int, ...], train: bool, **fields: Any
    ) -> nn.Module:
        """`size` parallel MLPs; `fields` are further arguments of `stack`."""
        options = self.regularisation | {"dims": dims, "train": train}
        return stack(MLP, size, **options, **fields)

    def apply_towers(
        self,
        x: Array,  # (B, T, H), or (B, H) for all
        train: bool,
        axis: Axis = BATCH_LAST,
        dims: tuple[int, ...] | None = None,
    ) -> jax.Array:  # (B, T) logits
        """Runs the module `towers`, one tower per task, of `tower_dims` by default."""
        dims = self.tower_dims if dims is None else dims
        options = self.regularisation | {"axis": axis}
        return Towers(self.num_tasks, dims, **options, name="towers")(x, train)


class WithExperts(WithTowers):
    """A model with experts, or bottoms, below the towers.

    Attributes:
        expert_dims: Widths of the layers of each expert.
    """

    expert_dims: ExpertDims = (64,)

    def __post_init__(self):
        checks.dims(expert_dims=self.expert_dims)
        super().__post_init__()

    def apply_bottoms(self, x: Array, size: int, train: bool) -> jax.Array:
        """Runs the module `bottoms`: (B, D) -> (size, H, B), as one product."""
        where = {"axis": BATCH_LAST, "name": "bottoms"}
        bottoms = self.make_mlps(size, self.expert_dims, train, one_input=True, **where)
        return bottoms(BATCH_LAST.enter(x))


class WithGroups(WithExperts):
    """A model whose tasks, domains, or pairs of both own parts of it.

    Attributes:
        groups: What owns the parts that are not shared (towers, gates, own experts):
            tasks, domains, or pairs of both. Each example gets the logits of its own
            domain.
    """

    groups: Groups = "tasks"
    gate_use_bias = False  # an option of models with gates
    remat = False  # a field of models with gates

    def __post_init__(self):
        checks.choice(Groups, groups=self.groups)
        if self.batch_norm and self.groups != "tasks":
            raise ValueError(
                f"batch_norm needs groups = 'tasks', got {self.groups!r}: a batch may "
                "hold too few examples of a domain for useful statistics."
            )
        super().__post_init__()

    @property
    def grouping(self) -> Grouping:
        """The groups, counted."""
        return Grouping(self.groups, self.num_tasks, self.num_domains)

    def make_level(
        self, routing: Routing, dims: tuple[int, ...], **place: Any
    ) -> Level:
        """A level of experts and gates; `place` is a name, or `parent=None`."""
        options = self.regularisation | {"gate_use_bias": self.gate_use_bias}
        return Level(routing, dims, **options, axis=self.grouping.axis, **place)

    def run_level(
        self, level: Level, x: Array, selector: Array, train: bool
    ) -> jax.Array:  # (B, G, H)
        """Runs a level; with `remat`, backward recomputes its experts and mixtures."""
        if not self.remat:
            return level(x, selector, train)
        run = lambda level, x, selector: level(x, selector, train)
        return recompute_module(run, level, x, selector)

    def make_own_towers(self, **place: Any) -> Towers:
        """The towers of one domain's groups; `place` is a name, or `parent=None`."""
        return Towers(
            self.grouping.in_domain,
            self.tower_dims,
            **self.regularisation,
            outputs=self.grouping.outputs,
            axis=self.grouping.axis,
            **place,
        )

    def apply_own_towers(
        self,
        x: Array,  # (B, grouping.in_domain, H), or (B, H) for all
        domain: Array,  # (B,)
        train: bool,
    ) -> jax.Array:  # (B, T) logits
        """Runs the module `towers`: each example through its own groups' towers."""
        if not self.grouping.by_domain:
            return self.make_own_towers(name="towers")(x, train)
        towers = self.make_own_towers(parent=None)
        each = PerDomain(towers, self.num_domains, name="towers")
        return each(domain, x, train=train)

    def apply_shared(
        self, x: Array, size: int, dims: tuple[int, ...], train: bool, name: str
    ) -> jax.Array:  # (B, size, H)
        """Runs `size` experts that all domains share, on (B, D) or (B, size, D)."""
        if not size:
            return jnp.zeros((len(x), 0, dims[-1]), x.dtype)
        return self.make_mlps(size, dims, train, one_input=x.ndim == 2, name=name)(x)

    def apply_last_level(
        self,
        x: Array,  # (B, D), or (B, groups, D): read by shared experts
        selector: Array,  # the same: read by gates, and by a domain's own experts
        domain: Array,  # (B,)
        train: bool,
        *,
        routing: Routing,  # within a domain; its last experts are the shared ones
        dims: tuple[int, ...],
        level: str,
        shared: int = 0,
        shared_name: str = "shared",
    ) -> jax.Array:  # (B, T) logits
        """Runs the last level and the towers.

        With groups of tasks, these are the modules `level` and `towers`. With groups of
        domains, the `shared` experts see all examples, and each domain runs all else,
        in the module `domains`, on its own examples only.
        """
        if not self.grouping.by_domain:
            own = self.make_level(routing, dims, name=level)
            x = self.run_level(own, x, selector, train)
            return self.apply_own_towers(x, domain, train)
        given = self.apply_shared(x, shared, dims, train, name=shared_name)
        own = self.make_level(routing.with_given(shared), dims, parent=None)
        head = Head(own, self.make_own_towers(parent=None), parent=None)
        domains = PerDomain(head, self.num_domains, self.remat, name="domains")
        return domains(domain, selector, given, train=train)


class WithGates(WithGroups):
    """A model whose gates mix experts.

    Attributes:
        gate_use_bias: Whether gates have a bias; the papers' gates have none.
        remat: Whether the backward pass recomputes what experts and gates of a level
            gave, and their mixtures, instead of keeping them: `train.remat`.
    """

    gate_use_bias: bool = False
    remat: bool = False
