"""Cross-stitch networks (Misra et al., CVPR 2016)."""

from collections.abc import Mapping
from typing import Annotated

import flax.linen as nn
import jax

from ple_jax import checks
from ple_jax.layers.stitch import Stitch, as_tuples, near_identity
from ple_jax.models.common import WithGroups
from ple_jax.space import Between, OneOf
from ple_jax.types import Array


class CrossStitch(WithGroups):
    """A network for each group, whose features mix after every layer.

        h_k <- sum_j alpha_kj relu(W_j h_j + b_j)
        z   = tower_k(h_k)

    Attributes:
        groups: What owns networks and towers: tasks, domains, or pairs of both. All
            networks see every example, since their features mix.
        expert_dims: Widths of the layers; a stitch follows each.
        same: Initial weight of a network's own features; the others share the rest.
        per_channel: Whether each channel has its own weights.
        stitch_rate: Factor on the learning rate of the stitches. The paper's SGD takes
            100 to 1000; Adam, whose steps do not shrink with the gradient, needs none.

    Cost: networks grow with G, their number, and stitches with G^2: T^2 by tasks, (T
    N)^2 by pairs. The last stitch is of an example's own domain's networks alone.

    Reference: Misra et al., CVPR 2016; Tang et al., RecSys 2020, figure 1f.
    Differs from the paper: by default each layer has one weight per pair of networks,
        as in the MMoE paper, not one per channel.
    """

    same: Annotated[float, Between(0.5, 0.99)] = 0.9
    per_channel: Annotated[bool, OneOf(False, True)] = False
    stitch_rate: float = 1.0

    def __post_init__(self):
        checks.at_least(0, stitch_rate=self.stitch_rate)
        super().__post_init__()

    @property
    def rate_multipliers(self) -> Mapping[str, float]:
        """Learning-rate factors by parameter name."""
        return {"stitch": self.stitch_rate}

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task."""
        size, axis = self.grouping.total, self.grouping.axis
        start = as_tuples(near_identity(size, self.same))
        x = axis.enter(x)
        for i, width in enumerate(self.expert_dims):
            options = {"one_input": x.ndim == 2, "axis": axis, "name": f"layer_{i}"}
            x = self.make_mlps(size, (width,), train, **options)(x)
            stitch = Stitch(start, self.per_channel, axis=axis, name=f"stitch_{i}")
            last = self.grouping.by_domain and i == len(self.expert_dims) - 1
            x = stitch(x, self.grouping.numbers(domain) if last else None)
        return self.apply_own_towers(axis.leave(x), domain, train)


build = CrossStitch
