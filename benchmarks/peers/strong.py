"""PLE and MMoE in PyTorch, written to be fast: how fast the libraries could be.

All experts of a level are one batched product, all fields share one table with a sparse
gradient, and Adam is fused. Parameters have our names and shapes, so that weights can
be exchanged.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from lib.sizes import Size
from torch import nn
from torch.nn import functional as F


class Dense(nn.Module):
    """Copies of one linear layer, as one product."""

    def __init__(self, copies: int, inputs: int, outputs: int):
        super().__init__()
        kernel = torch.randn(copies, inputs, outputs) / inputs**0.5
        self.kernel = nn.Parameter(kernel)
        self.bias = nn.Parameter(torch.zeros(copies, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, D) or (E, B, D)
        """(E, B, H); one input for all copies takes a single matrix product."""
        if x.ndim == 3:
            return torch.baddbmm(self.bias[:, None], x, self.kernel)
        joined = self.kernel.transpose(0, 1).flatten(1)
        out = torch.addmm(self.bias.flatten(), x, joined)
        return out.unflatten(1, self.bias.shape).transpose(0, 1)


class MLPs(nn.Module):
    """Copies of a stack of linear layers, each followed by ReLU."""

    def __init__(self, copies: int, inputs: int, dims: Sequence[int]):
        super().__init__()
        for i, (before, after) in enumerate(pairwise((inputs, *dims))):
            self.add_module(f"Dense_{i}", Dense(copies, before, after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, D) or (E, B, D)
        """(E, B, H): each copy on its own input, or all on one."""
        for layer in self.children():
            x = F.relu(layer(x))
        return x


class Gates(nn.Module):
    """Softmax weights of the experts that each gate sees; no bias."""

    def __init__(self, inputs: int, mask: torch.Tensor):
        super().__init__()
        pairs = int(mask.sum())
        self.kernel = nn.Parameter(torch.randn(inputs, pairs) / inputs**0.5)
        number = torch.where(mask, mask.flatten().cumsum(0).view(mask.shape) - 1, 0)
        self.register_buffer("number", number, persistent=False)
        self.register_buffer("hidden", ~mask[:, None], persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, D) or (G, B, D)
        """(G, B, E), 0 where a gate does not see an expert."""
        logits = x @ self.kernel[:, self.number].transpose(0, 1)
        return logits.masked_fill(self.hidden, -torch.inf).softmax(-1)


def mixture(weights: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """(G, B, E) times (E, B, H): the faster way, eager and compiled each."""
    if not torch.compiler.is_compiling():
        return torch.einsum("gbe,ebh->gbh", weights, outputs)
    return (weights.transpose(1, 2)[..., None] * outputs).sum(1)  # fused into one loop


class Level(nn.Module):
    """Experts, the group that each reads, and the gates that mix them."""

    def __init__(
        self, inputs: int, dims: Sequence[int], owner: list[int], mask: torch.Tensor
    ):
        super().__init__()
        self.experts = MLPs(len(owner), inputs, dims)
        self.gates = Gates(inputs, mask)
        self.owner = owner

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, D) or (groups, B, D)
        """The mixture of each gate (G, B, H)."""
        one = x.ndim == 2
        outputs = self.experts(x if one else x[self.owner])
        weights = self.gates(x if one else x[: len(self.gates.number)])
        return mixture(weights, outputs)


class Towers(nn.Module):
    """One tower and head a task."""

    def __init__(self, tasks: int, inputs: int, dims: Sequence[int]):
        super().__init__()
        self.mlp = MLPs(tasks, inputs, dims)
        self.heads = Dense(tasks, dims[-1], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (T, B, H) -> (B, T)
        """One logit a task."""
        return self.heads(self.mlp(x))[..., 0].T


class Network(nn.Sequential):
    """Levels, then towers, and the loss: everything but the table."""

    def loss(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The sum over the tasks of their mean loss."""
        return labels.shape[1] * F.binary_cross_entropy_with_logits(self(x), labels)


def network(model: str, size: Size) -> Network:
    """PLE or MMoE."""
    levels = {"ple": ple_levels, "mmoe": mmoe_level}[model](size)
    made = Network()
    for name, level in levels.items():
        made.add_module(name, level)
    towers = Towers(size.tasks, size.expert_dims[-1], size.tower_dims)
    made.add_module("towers", towers)
    return made


def mmoe_level(size: Size) -> dict[str, Level]:
    """Every task's gate sees every expert."""
    mask = torch.ones(size.tasks, size.experts, dtype=torch.bool)
    owner = [0] * size.experts
    return {"level_0": Level(size.inputs, size.expert_dims, owner, mask)}


def ple_levels(size: Size) -> dict[str, Level]:
    """Gates see their own experts and the shared; the shared gate sees all."""
    groups, shared = torch.arange(size.tasks + 1), size.tasks
    owner = groups.repeat_interleave(torch.tensor(size.expert_counts))
    mask = (owner == groups[:, None]) | (owner == shared) | (groups[:, None] == shared)
    levels, inputs = {}, size.inputs
    for i in range(size.levels):
        seen = mask[:shared] if i == size.levels - 1 else mask
        levels[f"level_{i}"] = Level(inputs, size.expert_dims, owner.tolist(), seen)
        inputs = size.expert_dims[-1]
    return levels


class Strong:
    """The table, the network and their optimizers.

    Only the network is compiled: autograd makes the table's sparse gradient outside.
    """

    def __init__(self, model: str, size: Size, compiled: bool):
        rows = size.fields * size.rows
        self.table = nn.Parameter(torch.randn(rows, size.width) * 0.05)
        self.first = torch.arange(0, rows, size.rows)  # row of each field
        self.network = network(model, size)
        loss = self.network.loss
        self.loss = torch.compile(loss, dynamic=False) if compiled else loss
        self.sparse = torch.optim.SparseAdam([self.table], lr=1e-3)
        dense = self.network.parameters()
        self.dense = torch.optim.Adam(dense, lr=1e-3, fused=True)

    def parameters(self) -> dict[str, nn.Parameter]:
        """All parameters, named as ours."""
        return {"table": self.table, **dict(self.network.named_parameters())}

    def inputs(self, ids: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """One lookup for all fields, then the numbers (B, D)."""
        embedded = F.embedding(ids + self.first, self.table, sparse=True)
        return torch.cat((embedded.flatten(1), numbers), dim=1)

    def step(
        self, ids: torch.Tensor, numbers: torch.Tensor, labels: torch.Tensor
    ) -> None:
        """One update of everything."""
        self.sparse.zero_grad()
        self.dense.zero_grad()
        self.loss(self.inputs(ids, numbers), labels).backward()
        self.sparse.step()
        self.dense.step()
