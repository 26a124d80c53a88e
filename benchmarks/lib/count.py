"""The least operations and bytes that a training step needs, from shapes alone."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .sizes import Size

MODELS = ("ple", "mmoe")
FLOAT = 4  # bytes


class Products(NamedTuple):
    """Copies of one linear layer, with a bias or without."""

    copies: int
    inputs: int
    outputs: int
    bias: bool = True

    @property
    def parameters(self) -> int:
        """Parameters of all copies."""
        return self.copies * (self.inputs + self.bias) * self.outputs

    @property
    def operations(self) -> int:
        """Forward, for one example: a multiplication and an addition a weight."""
        return 2 * self.copies * self.inputs * self.outputs


class Work(NamedTuple):
    """What one step needs."""

    operations: float
    bytes: float


class Rows(NamedTuple):
    """Rows of all tables that one step touches."""

    read: float  # distinct rows in a batch
    moved: float  # rows that the optimizer updates: those, or all with dense Adam


def rows(ids: np.ndarray, size: Size, by_rows: bool) -> Rows:
    """Mean over the batches of ids (steps, B, F)."""
    offsets = size.rows * np.arange(size.fields)
    read = float(np.mean([len(np.unique(batch + offsets)) for batch in ids]))
    return Rows(read, read if by_rows else size.fields * size.rows)


def work(model: str, size: Size, rows: Rows) -> Work:
    """Operations of products and mixtures, and bytes, each moved once.

    A layer has three products: forward, the kernel's gradient and the input's gradient,
    which plain numbers do not need. Every activation and its gradient are written and
    read once. A parameter that moves is read and written with Adam's two moments; its
    gradient is written and read.
    """
    layers, mixed = layers_of(model, size), mixtures(model, size)
    forward = sum(layer.operations for layer in layers) + sum(
        2 * pairs * width for pairs, _, width in mixed
    )
    of_numbers = 2 * size.numbers * read_by_first(model, size)
    activations = size.inputs + sum(layer.copies * layer.outputs for layer in layers)
    activations += sum(gates * width for _, gates, width in mixed)
    dense = sum(layer.parameters for layer in layers)
    batch = size.fields + size.numbers + size.tasks
    floats = (
        size.batch * (batch + 4 * activations)
        + size.width * (rows.read + 6 * rows.moved + 2 * rows.read)
        + 8 * dense
    )
    return Work(size.batch * (3 * forward - of_numbers), FLOAT * floats)


def layers_of(model: str, size: Size) -> list[Products]:
    """All linear layers: experts, gates, towers and heads."""
    layers, inputs = [], size.inputs
    for pairs, _, width in mixtures(model, size):
        layers += stack(experts(model, size), inputs, size.expert_dims)
        layers.append(Products(pairs, inputs, 1, bias=False))
        inputs = width
    return [*layers, *stack(size.tasks, inputs, (*size.tower_dims, 1))]


def stack(copies: int, inputs: int, dims: tuple[int, ...]) -> list[Products]:
    """Copies of a stack of layers."""
    return [Products(copies, a, b) for a, b in pairwise((inputs, *dims))]


def mixtures(model: str, size: Size) -> list[tuple[int, int, int]]:
    """For each level: pairs of a gate and an expert it sees, gates, and width."""
    width = size.expert_dims[-1]
    if model == "mmoe":
        return [(size.tasks * size.experts, size.tasks, width)]
    own = size.tasks * (size.own + size.shared)
    everyone = own + experts(model, size)
    return [(everyone, size.tasks + 1, width)] * (size.levels - 1) + [
        (own, size.tasks, width)
    ]


def experts(model: str, size: Size) -> int:
    """Experts of one level."""
    return size.experts if model == "mmoe" else sum(size.expert_counts)


def first_width(model: str, size: Size) -> int:
    """Joint width of the first layer of all experts of the first level."""
    return experts(model, size) * size.expert_dims[0]


def read_by_first(model: str, size: Size) -> int:
    """Outputs that read the input: the first level's first layer and gates."""
    return first_width(model, size) + mixtures(model, size)[0][0]
