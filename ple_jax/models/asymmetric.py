"""Asymmetric sharing, as the PLE paper compares with."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax import checks
from ple_jax.layers.batch_last import turned_back
from ple_jax.layers.experts import MLP, Towers, activated, stack


class Asymmetric(nn.Module):
    """A bottom for each task, and towers that read their own and some others.

        z_t = tower_t(fuse(f_b(x) for b in reads(t)))

    Attributes:
        num_tasks: T.
        num_domains: N; the model does not look at the domain.
        reads: The bottoms that each task reads, as T lists of task numbers; empty for
            the first task's bottom and the task's own.
        fusion: Whether what a tower reads is put side by side, summed or averaged.
        expert_dims: Widths of the layers of each bottom.
        tower_dims: Widths of the hidden layers of each task's tower.
        dropout_rate: Chance that a hidden unit is dropped while training.
        batch_norm: Whether to normalise before each ReLU; the paper does not.

    Reference: Tang et al., RecSys 2020, section 3.2 and figure 1b.
    """

    num_tasks: int
    num_domains: int = 1
    reads: tuple[tuple[int, ...], ...] = ()
    fusion: Literal["concat", "sum", "mean"] = "concat"
    expert_dims: tuple[int, ...] = (64,)
    tower_dims: tuple[int, ...] = (32,)
    dropout_rate: float = 0.0
    batch_norm: bool = False

    def __post_init__(self):
        checks.dims(expert_dims=self.expert_dims, tower_dims=self.tower_dims)
        checks.rate(dropout_rate=self.dropout_rate)
        checks.check_known(self.fusion, ["concat", "sum", "mean"], "fusion")
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
        unread = set(tasks) - {b for read in self.visible for b in read}
        if unread:
            raise ValueError(f"No task reads bottom {min(unread)}: it would not train.")
        super().__post_init__()

    @property
    def visible(self) -> tuple[tuple[int, ...], ...]:
        """The bottoms that each task reads."""
        default = tuple((0, t) if t else (0,) for t in range(self.num_tasks))
        return self.reads or default

    @nn.compact
    def __call__(
        self,
        x: jax.Array,  # (B, D)
        domain: jax.Array,  # (B,) int32, not looked at
        train: bool = False,
    ) -> jax.Array:  # (B, T) logits
        """One logit a task."""
        options = self.dropout_rate, self.batch_norm
        bottoms = stack(MLP, self.num_tasks, one_input=True, columns=True)(
            self.expert_dims, *options, train, columns=True, name="bottoms"
        )
        x = bottoms(x.T)
        dims = self.tower_dims
        if self.fusion == "concat":
            joined = Joined(self.visible, dims[0] if dims else 1, name="joined")(x)
            if not dims:
                return joined[:, 0].T
            after = stack(Activation, self.num_tasks, one_input=False, columns=True)
            x, dims = after(*options, train, name="activation")(joined), dims[1:]
        else:
            x = jnp.einsum("tj,jhb->thb", jnp.asarray(self._shares()), x)
        towers = Towers(self.num_tasks, dims, *options, name="towers")
        return towers(turned_back(x, columns=True), train)

    def _shares(self) -> np.ndarray:  # (T, bottoms)
        shares = np.zeros((self.num_tasks, self.num_tasks), np.float32)
        for t, read in enumerate(self.visible):
            shares[t, list(read)] = 1 if self.fusion == "sum" else 1 / len(read)
        return shares


class Joined(nn.Module):
    """Dense layers on bottoms side by side: a kernel for each pair that is read.

        y_t = W_t [h_b for b in visible(t)] + b_t = sum_b W_tb h_b + b_t

    Attributes:
        visible: The bottoms that each task reads.
        width: Of the result.
    """

    visible: tuple[tuple[int, ...], ...]
    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # (bottoms, H, B) -> (T, width, B)
        """Each task's result."""
        pairs = [(t, b) for t, read in enumerate(self.visible) for b in read]
        tasks, bottoms = np.array(pairs).T
        reads = np.bincount(tasks)[tasks]  # fan-in is that of the whole row

        def start(key):
            draw = nn.initializers.lecun_normal(batch_axis=0)
            kernel = draw(key, (len(pairs), x.shape[1], self.width))
            return kernel / np.sqrt(reads, dtype=np.float32)[:, None, None]

        kernel = self.param("kernel", start)
        shape = (len(self.visible), self.width)
        bias = self.param("bias", nn.initializers.zeros, shape)
        terms = jnp.einsum("phw,phb->pwb", kernel, x[bottoms])
        member = np.arange(len(self.visible))[:, None] == tasks[None]
        summed = jnp.einsum("tp,pwb->twb", jnp.asarray(member, terms.dtype), terms)
        return summed + bias[..., None]


class Activation(nn.Module):
    """What follows a dense layer in `MLP`, on columns."""

    dropout_rate: float
    batch_norm: bool
    train: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(H, B) -> (H, B)."""
        options = self.dropout_rate, self.batch_norm, self.train
        return activated(x, *options, columns=True)


build = Asymmetric
