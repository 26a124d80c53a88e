"""Operations and bytes that a training step cannot do without, from shapes alone."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from peers.sizes import TASKS, Size

MODELS = ("ple", "mmoe")
FLOAT = 4  # bytes


class Products(NamedTuple):
    """Copies of one linear layer, a bias or none."""

    copies: int
    inputs: int
    outputs: int
    bias: bool = True

    @property
    def parameters(self) -> int:
        """Of all copies."""
        return self.copies * (self.inputs + self.bias) * self.outputs

    @property
    def operations(self) -> int:
        """Of one example, forward: a multiplication and an addition each."""
        return 2 * self.copies * self.inputs * self.outputs


class Work(NamedTuple):
    """Of one step."""

    operations: float
    bytes: float


class Rows(NamedTuple):
    """Of all tables, in one step."""

    read: float  # different ones that a batch reads
    moved: float  # by the optimizer: those, or by dense Adam all


def rows(ids: np.ndarray, size: Size, by_rows: bool) -> Rows:
    """The mean over batches of ids (steps, B, F)."""
    offsets = size.rows * np.arange(size.fields)
    read = float(np.mean([len(np.unique(batch + offsets)) for batch in ids]))
    return Rows(read, read if by_rows else size.fields * size.rows)


def work(model: str, size: Size, rows: Rows) -> Work:
    """Operations of products and mixtures; bytes that each pass over memory once.

    Three products a layer: forward, of the kernel's gradient and of the input's, which
    only the plain numbers do not need. Every activation, and its gradient, is written
    and read once. Every parameter that moves is read and written, and Adam's two
    moments of it; its gradient is written and read.
    """
    layers, mixed = layers_of(model, size), mixtures(model, size)
    forward = sum(layer.operations for layer in layers) + sum(
        2 * pairs * width for pairs, _, width in mixed
    )
    of_numbers = 2 * size.numbers * read_by_first(model, size)
    activations = size.inputs + sum(layer.copies * layer.outputs for layer in layers)
    activations += sum(gates * width for _, gates, width in mixed)
    dense = sum(layer.parameters for layer in layers)
    batch = size.fields + size.numbers + TASKS
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
    return [*layers, *stack(TASKS, inputs, (*size.tower_dims, 1))]


def stack(copies: int, inputs: int, dims: tuple[int, ...]) -> list[Products]:
    """Copies of layers, one behind the other."""
    return [Products(copies, a, b) for a, b in pairwise((inputs, *dims))]


def mixtures(model: str, size: Size) -> list[tuple[int, int, int]]:
    """Of each level: pairs of a gate and an expert that it sees, gates, and width."""
    width = size.expert_dims[-1]
    if model == "mmoe":
        return [(TASKS * size.experts, TASKS, width)]
    own = TASKS * (size.own + size.shared)
    everyone = own + experts(model, size)
    return [(everyone, TASKS + 1, width)] * (size.levels - 1) + [(own, TASKS, width)]


def experts(model: str, size: Size) -> int:
    """Of one level."""
    return size.experts if model == "mmoe" else sum(size.expert_counts)


def first_width(model: str, size: Size) -> int:
    """Width of the first layer of all experts of the first level, as one product."""
    return experts(model, size) * size.expert_dims[0]


def read_by_first(model: str, size: Size) -> int:
    """Outputs that read the input: of the first level's first layer and gates."""
    return first_width(model, size) + mixtures(model, size)[0][0]
