"""A Torch-RecHub model carried over scores as NumPy does over its own arrays."""

import numpy as np
import pytest
from lib.site import load

from ple_jax import models

T, WIDTH, EXPERTS, TOWER, ROWS = 2, 7, (13, 11), 5, 97
OWN, SHARED, LEVELS = 2, 3, 3


class State(dict):
    """Arrays by the names of a `state_dict()`, drawn as they are made."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def linear(self, name, width, out):
        self[f"{name}.weight"] = self.rng.normal(size=(out, width)) / width**0.5
        self[f"{name}.bias"] = self.rng.normal(size=out)

    def norm(self, name, width):
        for part in ("weight", "bias", "running_mean"):
            self[f"{name}.{part}"] = self.rng.normal(size=width)
        self[f"{name}.running_var"] = self.rng.uniform(0.5, 2, size=width)
        self[f"{name}.num_batches_tracked"] = np.array(60)

    def mlp(self, name, width, dims, head=False):
        for i, out in enumerate(dims):
            self.linear(f"{name}.mlp.{4 * i}", width, out)
            self.norm(f"{name}.mlp.{4 * i + 1}", out)
            width = out
        if head:
            self.linear(f"{name}.mlp.{4 * len(dims)}", width, 1)


def affine(state, name, x):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def normalised(state, name, x):
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    z = (x - mean) / np.sqrt(var + 1e-5)
    return z * state[f"{name}.weight"] + state[f"{name}.bias"]


def relu_mlp(state, name, x, layers):
    for i in range(layers):
        x = affine(state, f"{name}.mlp.{4 * i}", x)
        x = np.maximum(normalised(state, f"{name}.mlp.{4 * i + 1}", x), 0)
    return x


def gate(state, name, x):
    z = normalised(state, f"{name}.mlp.1", affine(state, f"{name}.mlp.0", x))
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def mixed(weights, outputs):
    return sum(weights[:, [e]] * f for e, f in enumerate(outputs))


def tower(state, t, x):
    x = relu_mlp(state, f"towers.{t}", x, 1)
    return affine(state, f"towers.{t}.mlp.4", x)[:, 0]


def add_towers(state):
    for t in range(T):
        state.mlp(f"towers.{t}", EXPERTS[-1], [TOWER], head=True)


def ple_state():
    state = State()
    for j in range(LEVELS):
        name, width = f"cgc_layers.{j}", EXPERTS[-1] if j else WIDTH
        for e in range(T * OWN):
            state.mlp(f"{name}.experts_specific.{e}", width, EXPERTS)
        for e in range(SHARED):
            state.mlp(f"{name}.experts_shared.{e}", width, EXPERTS)
        for t in range(T):
            state.mlp(f"{name}.gates_specific.{t}", width, [OWN + SHARED])
        if j < LEVELS - 1:
            state.mlp(f"{name}.gate_shared", width, [T * OWN + SHARED])
    add_towers(state)
    return state


def ple_logits(state, x):
    groups = [x] * (T + 1)
    for j in range(LEVELS):
        name = f"cgc_layers.{j}"
        own = [
            relu_mlp(state, f"{name}.experts_specific.{e}", groups[e // OWN], 2)
            for e in range(T * OWN)
        ]
        shared = [
            relu_mlp(state, f"{name}.experts_shared.{e}", groups[-1], 2)
            for e in range(SHARED)
        ]
        after = []
        for t in range(T):
            weights = gate(state, f"{name}.gates_specific.{t}", groups[t])
            after.append(mixed(weights, own[t * OWN : (t + 1) * OWN] + shared))
        if j < LEVELS - 1:
            weights = gate(state, f"{name}.gate_shared", groups[-1])
            after.append(mixed(weights, own + shared))
        groups = after
    return np.stack([tower(state, t, groups[t]) for t in range(T)], axis=1)


def mmoe_state():
    state = State()
    for e in range(SHARED):
        state.mlp(f"experts.{e}", WIDTH, EXPERTS)
    for t in range(T):
        state.mlp(f"gates.{t}", WIDTH, [SHARED])
    add_towers(state)
    return state


def mmoe_logits(state, x):
    outputs = [relu_mlp(state, f"experts.{e}", x, 2) for e in range(SHARED)]
    gates = [gate(state, f"gates.{t}", x) for t in range(T)]
    each = [tower(state, t, mixed(gates[t], outputs)) for t in range(T)]
    return np.stack(each, axis=1)


CASES = {
    "ple": (
        ple_state,
        ple_logits,
        {"num_levels": LEVELS, "experts_per_task": OWN, "shared_experts": SHARED},
    ),
    "mmoe": (mmoe_state, mmoe_logits, {"num_experts": SHARED}),
}


@pytest.mark.parametrize("kind", CASES)
def test_converted_parameters_give_equal_logits(kind):
    make, forward, options = CASES[kind]
    state, x = make(), np.random.default_rng(1).normal(size=(ROWS, WIDTH))
    convert = load("guides/from_torch_rechub.py")
    params = getattr(convert, kind)(state, T)
    model = models.build(
        kind,
        num_tasks=T,
        expert_dims=EXPERTS,
        tower_dims=(TOWER,),
        gate_use_bias=True,
        **options,
    )
    domain = np.zeros(ROWS, np.int32)
    logits = model.apply({"params": params}, x.astype(np.float32), domain)
    # Float32 against float64, of logits up to about ten.
    np.testing.assert_allclose(logits, forward(state, x), rtol=1e-4, atol=1e-4)
