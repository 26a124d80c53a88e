"""Levels against the papers' equations, written as loops over one example at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_close, assert_gradient, random_array, random_params
from lib.oracles import expert, softmax

from ple_jax.layers.batch_last import BATCH_FIRST, BATCH_LAST
from ple_jax.layers.experts import (
    MLP,
    Level,
    Routing,
    Towers,
    everyone_sees_all,
    own_and_shared,
    stack,
)
from ple_jax.layers.gates import Gates

# Distinct primes: a swapped axis or a wrong count cannot go unnoticed.
B, D, H, GROUPS = 11, 7, 5, 3
ROUTINGS = {
    "unequal": own_and_shared([2, 3], 1, shared_gate=True),
    "last": own_and_shared([2, 3], 1),
    "no shared": own_and_shared([2, 3], 0),
    "one choice": own_and_shared([1, 2], 0),
    "only shared": own_and_shared([0, 0], 5),
    "everyone": everyone_sees_all(3, 5),
    "twice as many shared": own_and_shared([2, 2], 4, shared_gate=True),
    "scattered": Routing((0, 1, 0, 1), ((0, 2, 3), (1, 3, 2))),
    "owned": everyone_sees_all(2, 3, owned=True),
}
every_routing = pytest.mark.parametrize("routing", ROUTINGS.values(), ids=ROUTINGS)
AXES = {"batch first": BATCH_FIRST, "batch last": BATCH_LAST}
either_axis = pytest.mark.parametrize("axis", AXES.values(), ids=AXES)


def mixture(routing, params, gate, selector):
    """The gate's weights; its kernel's columns follow those of the gates before it."""
    seen = routing.visible[gate]
    if len(seen) == 1:
        return [1.0]
    before = sum(len(v) for v in routing.visible[:gate] if len(v) > 1)
    columns = params["gates"]["kernel"][:, before : before + len(seen)]
    return softmax(selector @ columns)


def level_of_one_example(routing, params, x, selector):
    """x and selector: (D,) for all, or (groups, D)."""
    read = lambda values, g: values if values.ndim == 1 else values[g]
    outputs = []
    for gate, seen in enumerate(routing.visible):
        weights = mixture(routing, params, gate, read(selector, gate))
        mixed = np.zeros(H)
        for weight, e in zip(weights, seen, strict=True):
            mixed += weight * expert(params["experts"], e, read(x, routing.owner[e]))
        outputs.append(mixed)
    return np.stack(outputs)


@either_axis
@every_routing
@pytest.mark.parametrize("one_input", [True, False])
def test_a_level_matches_the_equations(routing, one_input, axis):
    level = Level(routing, (13, H), axis=axis)
    x = random_array(B, D) if one_input else random_array(B, GROUPS, D)
    params = random_params(level, x, x)
    got = jax.jit(level.apply)({"params": params}, x, x)
    want = np.stack([level_of_one_example(routing, params, r, r) for r in x])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@either_axis
@every_routing
def test_the_gradient_of_a_level_matches_finite_differences(routing, axis):
    level = Level(routing, (H,), axis=axis)
    x = random_array(3, GROUPS, D)
    params = random_params(level, x, x)
    loss = lambda p: jnp.sum(level.apply({"params": p}, x, x) ** 2)
    value = lambda p: sum(
        (level_of_one_example(routing, p, np.float64(r), np.float64(r)) ** 2).sum()
        for r in x
    )
    assert_gradient(loss, value, params)


@either_axis
@every_routing
def test_gate_weights_sum_to_one_and_are_zero_for_the_unseen(routing, axis):
    level = Level(routing, (H,), axis=axis)
    x = random_array(B, GROUPS, D)
    params = random_params(level, x, x)
    sown = level.apply({"params": params}, x, x, mutable=["intermediates"])[1]
    (weights,) = sown["intermediates"]["mixture"]
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    assert not np.asarray(weights)[:, ~routing.mask].any()


def test_a_gate_has_no_parameters_for_experts_that_it_does_not_see():
    routing = own_and_shared([2, 3], 2, shared_gate=True)
    params = random_params(Gates(routing.patterns), random_array(B, D))
    assert params["kernel"].shape == (D, (2 + 2) + (3 + 2) + (2 + 3 + 2))


def test_experts_start_apart_with_the_fan_in_of_one_expert():
    level = Level(everyone_sees_all(1, 40), (64,))
    x = random_array(1, 50)
    params = jax.jit(level.init)(jax.random.key(0), x, x)["params"]
    kernel = np.asarray(params["experts"]["Dense_0"]["kernel"])
    assert kernel.shape == (40, 50, 64)
    assert len(np.unique(kernel[:, 0, 0])) == 40
    np.testing.assert_allclose(kernel.std(), 50**-0.5, rtol=0.02)


@either_axis
def test_one_input_for_all_experts_is_never_copied(axis):
    level = Level(everyone_sees_all(2, 3), (H,), axis=axis)
    x = random_array(B, D)
    params = random_params(level, x, x)
    text = str(jax.make_jaxpr(lambda x: level.apply({"params": params}, x, x))(x))
    assert f"f32[{B},3,{D}]" not in text
    assert f"f32[3,{B},{D}]" not in text
    assert f"f32[3,{D},{B}]" not in text


def test_experts_of_one_group_read_its_input_in_place():
    level = Level(own_and_shared([2, 2], 2, True), (H,), axis=BATCH_LAST)
    x = random_array(B, GROUPS, D)
    params = random_params(level, x, x)
    loss = lambda params, x: level.apply({"params": params}, x, x).sum()
    text = str(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(params, x))
    assert f"f32[{GROUPS},{D},{B}]" in text
    assert f"f32[{2 * GROUPS},{D},{B}]" not in text


@either_axis
def test_each_expert_drops_units_of_its_own(axis):
    options = {"dims": (64,), "dropout_rate": 0.5, "train": True}
    experts = stack(MLP, 2, one_input=True, axis=axis, **options)
    x = axis.enter(np.ones((1, D), np.float32))
    params = random_params(experts, x)
    same = jax.tree.map(lambda p: np.broadcast_to(p[:1], p.shape), params)
    hidden = experts.apply({"params": same}, x, rngs={"dropout": jax.random.key(0)})
    dropped = np.asarray(axis.leave(hidden)[0] == 0)
    assert (dropped[0] != dropped[1]).any()


@either_axis
def test_batch_statistics_move_only_in_training(axis):
    level = Level(everyone_sees_all(1, 3), (H,), batch_norm=True, axis=axis)
    x = random_array(B, D)
    variables = level.init(jax.random.key(0), x, x)
    apply = lambda train: level.apply(variables, x, x, train, mutable=["batch_stats"])
    moved = apply(True)[1]["batch_stats"]
    still = apply(False)[1]["batch_stats"]
    before = variables["batch_stats"]
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, before, still)))
    assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, before, moved)))
    assert before["experts"]["BatchNorm_0"]["norm"]["mean"].shape == (3, H)


@either_axis
def test_towers_match_loops(axis):
    towers = Towers(3, (13, H), axis=axis)
    x = random_array(B, 3, D)
    params = random_params(towers, x)
    got = towers.apply({"params": params}, x)
    for t in range(3):
        h = expert(params["mlp"], t, x[:, t])
        want = h @ params["heads"]["kernel"][t] + params["heads"]["bias"][t]
        np.testing.assert_allclose(got[:, t], want[:, 0], rtol=1e-5, atol=1e-5)


def test_a_few_examples_are_mixed_as_many_are():
    """With few rows beside hidden units, each expert has a product of its own."""
    level = Level(own_and_shared([2, 3], 1), (83,))
    x, few = random_array(B, D), slice(B - 1)
    params = {"params": random_params(level, x, x)}
    inputs = lambda x: level.apply(params, x, method="_inputs").ndim
    assert (inputs(x), inputs(x[few])) == (2, 3)
    some = lambda params, x: level.apply(params, x[few], x[few])
    among_many = lambda params, x: level.apply(params, x, x)[few]
    assert_close(some(params, x), among_many(params, x))
    slopes = [
        jax.grad(lambda *given, run=run: (run(*given) ** 2).sum(), (0, 1))(params, x)
        for run in (some, among_many)
    ]
    assert_close(*slopes)
