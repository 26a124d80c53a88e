"""Asymmetric sharing, as the PLE paper compares with."""

from typing import Annotated, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax import checks
from ple_jax.layers.batch_last import BATCH_LAST
from ple_jax.layers.experts import HiddenLayers, stack
from ple_jax.layers.mixture import pairwise_sum
from ple_jax.layers.patterns import Pattern, patterns_of
from ple_jax.layers.products import product_of_groups
from ple_jax.models.common import WithExperts
from ple_jax.space import OneOf
from ple_jax.types import Array

Fusion = Literal["concat", "sum", "mean"]


class Asymmetric(WithExperts):
    """A bottom for each task; each tower reads its own bottom and some others.

        z_t = tower_t(fuse(f_b(x) for b in reads(t)))

    Attributes:
        num_domains: N; the model ignores the domain.
        reads: The bottoms that each task reads, as T lists of task numbers. If empty,
            each task reads the first task's bottom and its own.
        fusion: Whether bottoms are concatenated, summed or averaged for a tower.
        expert_dims: Widths of the layers of each bottom.

    Cost: grows with T by bottoms, and by the first layer of towers with the bottoms
    that all tasks read together; flat in N.

    Reference: Tang et al., RecSys 2020, section 3.2 and figure 1b.
    """

    reads: tuple[tuple[int, ...], ...] = ()
    fusion: Annotated[Fusion, OneOf("concat", "mean")] = "concat"

    def __post_init__(self):
        checks.choice(Fusion, fusion=self.fusion)
        tasks = range(self.num_tasks)
        if self.reads and len(self.reads) != self.num_tasks:
            raise ValueError(
                f"reads needs a list for each of the {self.num_tasks} tasks, got "
                f"{[list(r) for r in self.reads]}."
            )
        for t, read in enumerate(self.reads):
            if not read or not set(read) <= set(tasks) or len(set(read)) < len(read):
                raise ValueError(
                    f"reads[{t}] must name one or more of the bottoms {list(tasks)}, "
                    f"each once, got {list(read)}."
                )
        unread = set(tasks).difference(*self.visible)
        if unread:
            raise ValueError(f"No task reads bottom {min(unread)}: it would not train.")
        super().__post_init__()

    @property
    def visible(self) -> tuple[tuple[int, ...], ...]:
        """The bottoms that each task reads."""
        default = tuple((0, t) if t else (0,) for t in range(self.num_tasks))
        return self.reads or default

    @nn.compact
    def __call__(self, x: Array, domain: Array, train: bool = False) -> jax.Array:
        """One logit per task."""
        x = self.apply_bottoms(x, self.num_tasks, train)
        if self.fusion != "concat":
            x = jnp.einsum("tj,jhb->thb", jnp.asarray(self._fusion_weights()), x)
            return self.apply_towers(BATCH_LAST.leave(x), train)
        # The towers' first layer, which reads bottoms side by side.
        first, *rest = self.tower_dims or (1,)
        x = Joined(self.visible, first, name="joined")(x)
        if not self.tower_dims:
            return x[:, 0].T
        options = self.regularisation | {"axis": BATCH_LAST, "train": train}
        activation = stack(
            Activation, self.num_tasks, one_input=False, **options, name="activation"
        )
        x = BATCH_LAST.leave(activation(x))
        return self.apply_towers(x, train, dims=tuple(rest))

    def _fusion_weights(self) -> np.ndarray:  # (T, bottoms)
        shares = np.zeros((self.num_tasks, self.num_tasks), np.float32)
        for t, read in enumerate(self.visible):
            shares[t, list(read)] = 1 if self.fusion == "sum" else 1 / len(read)
        return shares


class Joined(nn.Module):
    """A dense layer per task on its bottoms side by side: a kernel for each pair.

        y_t = W_t [h_b for b in visible(t)] + b_t = sum_b W_tb h_b + b_t

    Attributes:
        visible: The bottoms that each task reads.
        width: Width of the result.
    """

    visible: tuple[tuple[int, ...], ...]
    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # (bottoms, H, B) -> (T, width, B)
        """Each task's result."""
        reads = np.array([len(read) for read in self.visible])

        def start(key):
            draw = nn.initializers.lecun_normal(batch_axis=0)
            kernel = draw(key, (int(reads.sum()), x.shape[1], self.width))
            whole = np.repeat(reads, reads)  # fan-in is that of the whole row
            return kernel / np.sqrt(whole, dtype=np.float32)[:, None, None]

        kernel = jnp.asarray(self.param("kernel", start))
        shape = (len(self.visible), self.width)
        bias = self.param("bias", nn.initializers.zeros, shape)
        patterns = list(patterns_of(self.visible))
        ends = np.cumsum([pattern.gates * pattern.each for pattern in patterns])
        kernels = jnp.split(kernel, ends[:-1])
        summed = [joined(p, k, x) for p, k in zip(patterns, kernels, strict=True)]
        return jnp.concatenate(summed) + jnp.asarray(bias)[..., None]


def joined(pattern: Pattern, kernel: jax.Array, x: jax.Array) -> jax.Array:
    """sum_b W_tb h_b (tasks, width, B), of tasks that read alike, in place.

    Args:
        pattern: Which bottoms they read.
        kernel: Of each task and bottom (pairs, H, width).
        x: All bottoms (bottoms, H, B).
    """
    tasks, width = pattern.gates, kernel.shape[-1]
    kernel = kernel.reshape(tasks, pattern.each, -1, width)
    terms = []
    for block in pattern.blocks:
        columns = slice(block.column, block.column + block.each)
        w = kernel[:, columns].reshape(tasks, -1, width)
        h = x[block.first : block.stop(tasks)].reshape(-1, w.shape[1], x.shape[2])
        owner = tuple(range(tasks)) if block.own else (0,) * tasks
        terms.append(product_of_groups(w, h, owner))
    return pairwise_sum(terms)


class Activation(HiddenLayers):
    """What follows a dense layer in `MLP`.

    Attributes:
        train: As in `MLP`.
    """

    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # (H, B), or (B, H), as given
        """Normalises, rectifies and drops units."""
        return self.activate(x, self.train)


build = Asymmetric
