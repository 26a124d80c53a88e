"""Parameters of a trained Torch-RecHub PLE or MMoE, for `ple_jax`.

Torch-RecHub normalises every layer and every gate by batch. In scoring that is a fixed
slope and shift of each unit, which are multiplied into the dense layer before it:

    y     = W x + b
    y'    = slope * (y - mean) / sqrt(var + eps) + shift
          = (s * W) x + s * (b - mean) + shift,   s = slope / sqrt(var + eps)

So the converted model has no normalisation, and its gates have a bias; its logits are
those of the original in `eval()`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

EPSILON = 1e-5  # of torch.nn.BatchNorm1d, unless it was made with another
State = Mapping[
    str, np.ndarray
]  # {k: v.numpy() for k, v in model.state_dict().items()}
Dense = dict[str, np.ndarray]


def ple(state: State, num_tasks: int) -> dict[str, Any]:
    """`params` of `models.build("ple", gate_use_bias=True, ...)` with equal logits."""
    levels = numbers_below(state, "cgc_layers")
    params = {f"level_{j}": level(state, f"cgc_layers.{j}", num_tasks) for j in levels}
    return params | {"towers": towers(state, num_tasks)}


def mmoe(state: State, num_tasks: int) -> dict[str, Any]:
    """`params` of `models.build("mmoe", gate_use_bias=True, ...)` with equal logits."""
    experts = [mlp(state, f"experts.{e}") for e in numbers_below(state, "experts")]
    gates = [mlp(state, f"gates.{t}")[0] for t in range(num_tasks)]
    return {"level_0": joined(experts, gates), "towers": towers(state, num_tasks)}


def level(state: State, name: str, num_tasks: int) -> dict[str, Any]:
    """One CGC layer: each task's experts, then the shared ones, as in `Routing`."""
    kinds = (f"{name}.experts_specific", f"{name}.experts_shared")
    experts = [mlp(state, f"{k}.{e}") for k in kinds for e in numbers_below(state, k)]
    gates = [mlp(state, f"{name}.gates_specific.{t}")[0] for t in range(num_tasks)]
    if f"{name}.gate_shared.mlp.0.weight" in state:  # not in the last layer
        gates.append(mlp(state, f"{name}.gate_shared")[0])
    return joined(experts, gates)


def joined(
    experts: Sequence[Sequence[Dense]], gates: Sequence[Dense]
) -> dict[str, Any]:
    """Experts stacked along a first axis; gates as columns of one kernel.

    The kernel has a column for each pair of gate and expert that it sees, gate by gate.
    """
    whole = {part: np.concatenate([g[part] for g in gates], -1) for part in gates[0]}
    return {"experts": stacked(experts), "gates": whole}


def towers(state: State, num_tasks: int) -> dict[str, Any]:
    """Towers of equal widths, stacked; the last layer of each is its head."""
    each = [mlp(state, f"towers.{t}") for t in range(num_tasks)]
    heads = stacked([layers[-1:] for layers in each])["Dense_0"]
    hidden = [layers[:-1] for layers in each]
    return {"heads": heads} | ({"mlp": stacked(hidden)} if hidden[0] else {})


def stacked(networks: Sequence[Sequence[Dense]]) -> dict[str, Dense]:
    """Layer by layer, networks of one shape along a first axis."""
    return {
        f"Dense_{i}": {part: np.stack([d[part] for d in layer]) for part in layer[0]}
        for i, layer in enumerate(zip(*networks, strict=True))
    }


def mlp(state: State, name: str) -> list[Dense]:
    """The dense layers of one of its MLPs, normalisation multiplied in.

    Its parts are numbered Linear, BatchNorm1d, activation, Dropout, Linear, ...
    """
    return [
        dense(state, f"{name}.mlp.{i}", f"{name}.mlp.{i + 1}")
        for i in numbers_below(state, f"{name}.mlp")
        if state[f"{name}.mlp.{i}.weight"].ndim == 2
    ]


def dense(state: State, linear: str, norm: str) -> Dense:
    """A linear layer, and the normalisation after it where there is one."""
    kernel, bias = state[f"{linear}.weight"].T, state[f"{linear}.bias"]
    if f"{norm}.running_var" not in state:
        return {"kernel": kernel, "bias": bias}
    mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
    s = state[f"{norm}.weight"] / np.sqrt(var + EPSILON)
    return {"kernel": kernel * s, "bias": s * (bias - mean) + state[f"{norm}.bias"]}


def numbers_below(state: State, name: str) -> list[int]:
    """The numbers i of which there is `name.i.*`, in order."""
    below = [key[len(name) + 1 :] for key in state if key.startswith(f"{name}.")]
    return sorted({int(rest.split(".")[0]) for rest in below})
