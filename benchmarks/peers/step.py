"""The PyTorch contenders of `step_vs_peers.py`, as a child process.

    DIR/bin/python -m peers.step    (in benchmarks/; lib/protocol.py defines the lines)

A library brings its model and its inputs; the loop around it is the bare minimum: Adam
without weight decay, no regulariser, no progress bar, no metrics, no loader.
"""

import importlib
import sys
import types
from collections.abc import Callable, Sequence

import numpy as np
import torch
from lib import compare
from lib.protocol import Case, Cases, Contender, serve
from lib.sizes import Size
from torch.nn import functional as F

from peers.strong import Strong

Tensors = Sequence[torch.Tensor]  # ids (B, F), numbers (B, K), labels (B, T)


def build(case: Case) -> Contender:
    """The contender of a case."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    return BUILDERS[case.library](case)


def batches_of(case: Case) -> list[Tensors]:
    """All batches, as tensors."""
    with np.load(case.batches) as arrays:
        names = ("ids", "numbers", "labels")
        tensors = [torch.from_numpy(arrays[name]) for name in names]
    return [[part.clone() for part in batch] for batch in zip(*tensors, strict=True)]


def strong(case: Case) -> Contender:
    """Our own fast PyTorch, eager or compiled."""
    made = Strong(case.model, case.size, compiled=case.library.endswith("compile"))
    batches = batches_of(case)
    count = sum(p.numel() for p in made.parameters().values())

    def as_ours(folder):
        exchange(made, batches[0], folder)

    return Contender(lambda i: made.step(*batches[i]), count, as_ours)


def exchange(made: Strong, batch: Tensors, folder) -> None:
    """Take our weights, and write logits and gradients of the first batch."""
    ids, numbers, labels = batch
    weights = compare.weights(folder / compare.OURS)
    with torch.no_grad():
        for name, parameter in made.parameters().items():
            parameter.copy_(torch.from_numpy(weights[name]))
            parameter.grad = None
    made.loss(made.inputs(ids, numbers), labels).backward()
    grads = {name: p.grad.to_dense().numpy() for name, p in made.parameters().items()}
    logits = made.network(made.inputs(ids, numbers)).detach().numpy()
    compare.write(folder / compare.THEIRS, weights, logits, grads)


def library(
    model: torch.nn.Module, inputs: list, labels: list[torch.Tensor]
) -> Contender:
    """A library's model, which returns probabilities (B, T), with PyTorch's Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()

    def step(i):
        optimizer.zero_grad()
        F.binary_cross_entropy(model(inputs[i]), labels[i]).backward()
        optimizer.step()

    return Contender(step, sum(p.numel() for p in model.parameters()))


def torch_rechub(case: Case) -> Contender:
    """Torch-RecHub; its normalisations cannot be turned off."""
    features = importlib.import_module("torch_rechub.basic.features")
    models = importlib.import_module("torch_rechub.models.multi_task")
    size = case.size
    columns = [
        *(features.SparseFeature(n, size.rows, size.width) for n in ids_of(size)),
        *(features.DenseFeature(name) for name in numbers_of(size)),
    ]
    experts = {"dims": list(size.expert_dims)}
    towers = [{"dims": list(size.tower_dims)} for _ in range(size.tasks)]
    rest = experts, towers
    if case.model == "ple":
        rest = size.levels, size.own, size.shared, *rest
    else:
        rest = size.experts, *rest
    kind = {"ple": models.PLE, "mmoe": models.MMOE}[case.model]
    model = kind(columns, ["classification"] * size.tasks, *rest)
    batches = batches_of(case)
    names = [*ids_of(size), *numbers_of(size)]
    inputs = [
        dict(zip(names, [*ids.T.contiguous(), *numbers.T.contiguous()], strict=True))
        for ids, numbers, _ in batches
    ]
    return library(model, inputs, [labels for *_, labels in batches])


def deepctr_torch(case: Case) -> Contender:
    """DeepCTR-Torch; its input is one matrix of floats, ids too."""
    # On import it looks up its newest version on the network; this stops it.
    sys.modules.setdefault("requests", types.ModuleType("requests"))
    columns = importlib.import_module("deepctr_torch.inputs")
    models = importlib.import_module("deepctr_torch.models")
    size = case.size
    fields = [
        *(columns.SparseFeat(n, size.rows, size.width) for n in ids_of(size)),
        *(columns.DenseFeat(name) for name in numbers_of(size)),
    ]
    options = {
        "expert_dnn_hidden_units": size.expert_dims,
        "gate_dnn_hidden_units": (),
        "tower_dnn_hidden_units": size.tower_dims,
        "l2_reg_linear": 0,
        "l2_reg_embedding": 0,
    }
    if case.model == "ple":
        model = models.PLE(fields, size.shared, size.own, size.levels, **options)
    else:
        model = models.MMOE(fields, size.experts, **options)
    batches = batches_of(case)
    inputs = [torch.cat((ids.float(), numbers), 1) for ids, numbers, _ in batches]
    return library(model, inputs, [labels for *_, labels in batches])


def ids_of(size: Size) -> list[str]:
    """Names of the categorical fields."""
    return [f"field_{i}" for i in range(size.fields)]


def numbers_of(size: Size) -> list[str]:
    """Names of the numeric inputs."""
    return [f"number_{i}" for i in range(size.numbers)]


BUILDERS: dict[str, Callable[[Case], Contender]] = {
    "torch-rechub": torch_rechub,
    "deepctr-torch": deepctr_torch,
    "strong-torch eager": strong,
    "strong-torch compile": strong,
}

if __name__ == "__main__":
    serve(Cases(build))
