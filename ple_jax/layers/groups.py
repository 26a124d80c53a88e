"""Gates, own experts and towers by task, by domain, or by pair of both."""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.layers.experts import Level, Routing, Towers
from ple_jax.layers.per_domain import PerDomain

Groups = Literal["tasks", "domains", "tasks_domains"]


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Which groups there are.

    Attributes:
        groups: What a group belongs to; those of one domain stand together.
        num_tasks: T.
        num_domains: N.
    """

    groups: Groups
    num_tasks: int
    num_domains: int

    @property
    def by_domain(self) -> bool:
        """Whether domains have groups of their own."""
        return self.groups != "tasks"

    @property
    def columns(self) -> bool:
        """Whether parallel networks compute on columns: see `columns.py`."""
        return not self.by_domain

    @property
    def in_domain(self) -> int:
        """Groups that an example has to do with."""
        return 1 if self.groups == "domains" else self.num_tasks

    @property
    def outputs(self) -> int:
        """Logits that a group's tower gives."""
        return self.num_tasks // self.in_domain

    @property
    def total(self) -> int:
        """G, the groups of all domains."""
        return self.in_domain * (self.num_domains if self.by_domain else 1)

    def own(
        self,
        x: jax.Array,  # (B, G, H)
        domain: jax.Array,  # (B,)
    ) -> jax.Array:  # (B, in_domain, H)
        """Each example's rows of its own domain's groups."""
        if not self.by_domain:
            return x
        x = x.reshape(x.shape[0], self.num_domains, -1, x.shape[-1])
        return jnp.take_along_axis(x, domain[:, None, None, None], axis=1)[:, 0]


class Head(nn.Module):
    """The last level and the towers that one domain has for itself.

        z_g = tower_g(sum_e softmax(W_g x_g)_e f_e),   e in own(g) and given

    Attributes:
        routing: The groups' own experts, and those that are given.
        dims: Widths of each own expert's layers.
        tower_dims: Widths of each tower's hidden layers.
        outputs: Logits of a tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        gate_use_bias: Whether gates have a bias.
    """

    routing: Routing
    dims: tuple[int, ...]
    tower_dims: tuple[int, ...]
    outputs: int = 1
    dropout_rate: float = 0.0
    gate_use_bias: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D) for all groups, or (B, groups, D); it selects, too
        given: jax.Array,  # (B, routing.given, H)
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """The logits of the domain's groups."""
        level = Level(
            self.routing,
            self.dims,
            self.dropout_rate,
            gate_use_bias=self.gate_use_bias,
            columns=False,
            name="level",
        )
        towers = Towers(
            len(self.routing.visible),
            self.tower_dims,
            self.dropout_rate,
            outputs=self.outputs,
            columns=False,
            name="towers",
        )
        return towers(level(x, x, train, given), train)


def own_towers(
    x: jax.Array,  # (B, grouping.in_domain, H), or (B, H) for all
    domain: jax.Array,  # (B,)
    train: bool,
    grouping: Grouping,
    dims: tuple[int, ...],
    dropout_rate: float = 0.0,
    batch_norm: bool = False,
) -> jax.Array:  # (B, T) logits
    """The module `towers` of each example's groups."""
    options = grouping.in_domain, dims, dropout_rate, batch_norm, grouping.outputs
    if not grouping.by_domain:
        return Towers(*options, name="towers")(x, train)
    towers = Towers(*options, columns=False, parent=None)
    each = PerDomain(towers, grouping.num_domains, name="towers")
    return each(domain, x, train=train)


def own_heads(
    x: jax.Array,  # (B, D), or (B, grouping.in_domain, D)
    given: jax.Array,  # (B, routing.given, H), what the shared experts say
    domain: jax.Array,  # (B,)
    train: bool,
    grouping: Grouping,
    routing: Routing,
    dims: tuple[int, ...],
    tower_dims: tuple[int, ...],
    dropout_rate: float = 0.0,
    gate_use_bias: bool = False,
) -> jax.Array:  # (B, T) logits
    """The module `domains`: each domain's head, on its own examples."""
    options = grouping.outputs, dropout_rate, gate_use_bias
    head = Head(routing, dims, tower_dims, *options, parent=None)
    domains = PerDomain(head, grouping.num_domains, name="domains")
    return domains(domain, x, given, train=train)
