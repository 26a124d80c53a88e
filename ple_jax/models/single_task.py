"""One network per task (the single-task models of the PLE and MMoE papers)."""

import flax.linen as nn
import jax

from ple_jax.layers.experts import own_and_shared
from ple_jax.models.common import WithGroups
from ple_jax.types import Array


class SingleTask(WithGroups):
    """Tasks that share nothing but their input.

        z_t = tower_t(f_t(x_t))

    By default all tasks read the same embeddings, x_t = x, which is a kind of sharing.
    With `inputs.per_task` each task has embeddings of its own: then it is what the
    papers compare with, a model for each task, trained alone. With constant weights
    and no `clip_norm`, the updates are those of T trainings.

    Attributes:
        expert_dims: Widths of the layers of each task's own bottom.

    Cost: grows with T, by a network each; flat in N.

    Reference: Tang et al., RecSys 2020, section 5.1.2.
    """

    @property
    def reads_per_task(self) -> bool:
        """Whether x may be (B, T, D): not if a domain's tasks are one network."""
        return self.groups != "domains"

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task; x is (B, D), or (B, T, D) with an input for each."""
        routing = own_and_shared([1] * self.grouping.in_domain, shared=0)
        return self.apply_last_level(
            x, x, domain, train, routing=routing, dims=self.expert_dims, level="bottom"
        )


build = SingleTask
