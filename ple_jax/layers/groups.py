"""Gates, own experts and towers of each task, each domain, or each pair of both."""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.layers.batch_last import BATCH_FIRST, BATCH_LAST, Axis
from ple_jax.layers.experts import Level, Towers
from ple_jax.types import Array

Groups = Literal["tasks", "domains", "tasks_domains"]


@dataclasses.dataclass(frozen=True)
class Grouping:
    """The groups that own gates, experts and towers.

    Attributes:
        groups: What a group is; the groups of one domain are neighbours.
        num_tasks: T.
        num_domains: N.
    """

    groups: Groups
    num_tasks: int
    num_domains: int

    @property
    def by_domain(self) -> bool:
        """Whether each domain has groups of its own."""
        return self.groups != "tasks"

    @property
    def axis(self) -> Axis:
        """Where examples lie in parallel networks: see `batch_last.py`."""
        return BATCH_FIRST if self.by_domain else BATCH_LAST

    @property
    def in_domain(self) -> int:
        """Groups that an example takes part in."""
        return 1 if self.groups == "domains" else self.num_tasks

    @property
    def outputs(self) -> int:
        """Logits per group's tower."""
        return self.num_tasks // self.in_domain

    @property
    def total(self) -> int:
        """G, the groups of all domains."""
        return self.in_domain * (self.num_domains if self.by_domain else 1)

    def numbers(self, domain: Array) -> jax.Array:  # (B,) -> (B, in_domain)
        """The groups of each example's own domain."""
        within = jnp.arange(self.in_domain)[None]
        return jnp.asarray(domain)[:, None] * self.in_domain + within

    def own(
        self,
        x: Array,  # (B, G, H)
        domain: Array,  # (B,)
    ) -> Array:  # (B, in_domain, H)
        """The rows of each example's own domain's groups."""
        if not self.by_domain:
            return x
        x = x.reshape(x.shape[0], self.num_domains, -1, x.shape[-1])
        return jnp.take_along_axis(x, domain[:, None, None, None], axis=1)[:, 0]


class OwnLevel(nn.Module):
    """What one domain has for itself of a level: its groups' gates and own experts.

        y_g = sum_e softmax(W_g x_g)_e f_e,   e in own(g) and given

    Attributes:
        level: The gates and own experts; other experts' outputs are given.
    """

    level: Level

    def __call__(
        self,
        x: Array,  # (B, D) for all groups, or (B, groups, D); gates read it too
        given: Array,  # (B, level.routing.given, H)
        train: bool = False,
    ) -> jax.Array:  # (B, G, H)
        """Each gate's mixture."""
        return self.level(x, x, train, given)


class Head(nn.Module):
    """The last level and the towers that one domain has for itself.

        z_g = tower_g(sum_e softmax(W_g x_g)_e f_e),   e in own(g) and given

    Attributes:
        level: The groups' gates and own experts; other experts' outputs are given.
        towers: The groups' towers.
    """

    level: Level
    towers: Towers

    def __call__(
        self,
        x: Array,  # (B, D) for all groups, or (B, groups, D); gates read it too
        given: Array,  # (B, level.routing.given, H)
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """The logits of the domain's groups."""
        return self.towers(self.level(x, x, train, given), train)
