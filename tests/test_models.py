"""Models: what each is by its paper, and what every one of them must do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_array, random_params
from test_experts import expert, mlp, softmax

from ple_jax import models

B, T, D, H, TOWER = 11, 3, 7, 5, 2
DOMAIN = np.zeros(B, np.int32)
every_model = pytest.mark.parametrize("kind", models.available())
SMALL = {"expert_dims": (13, H), "tower_dims": (TOWER,)}


def start(kind, tasks=T, x=None, **options):
    model = models.build(kind, num_tasks=tasks, **{**SMALL, **options})
    x = random_array(B, D) if x is None else x
    return model, random_params(model, x, np.zeros(len(x), np.int32)), x


def logits(model, params, x):
    domain = np.zeros(len(x), np.int32)
    return np.asarray(model.apply({"params": params}, x, domain))


def tower(params, t, h):
    towers = params["towers"]
    h = expert(towers["mlp"], t, h)
    return (h @ towers["heads"]["kernel"][t] + towers["heads"]["bias"][t])[0]


def gate(kernel, selector):
    return softmax(selector @ kernel)


# One example x (D,) at a time, from the papers; `own` experts per task come first.


def single_task(p, x):
    return [tower(p, t, expert(p["bottom"]["experts"], t, x)) for t in range(T)]


def shared_bottom(p, x):
    return [tower(p, t, mlp(p["bottom"], x)) for t in range(T)]


def omoe(p, x):
    level = p["level"]
    weights = gate(level["gates"]["kernel"], x)
    mixed = sum(w * expert(level["experts"], e, x) for e, w in enumerate(weights))
    return [tower(p, t, mixed) for t in range(T)]


def mmoe(p, x, experts=8):
    level, out = p["level_0"], []
    for t in range(T):
        kernel = level["gates"]["kernel"][:, t * experts : (t + 1) * experts]
        weights = gate(kernel, x)
        mixed = sum(w * expert(level["experts"], e, x) for e, w in enumerate(weights))
        out.append(tower(p, t, mixed))
    return out


def ml_mmoe(p, x, experts=3, levels=2):
    inputs = [x] * experts
    for j in range(levels):
        level, gates = p[f"level_{j}"], T if j == levels - 1 else experts
        outputs = [expert(level["experts"], e, inputs[e]) for e in range(experts)]
        mixed = []
        for g in range(gates):
            kernel = level["gates"]["kernel"][:, g * experts : (g + 1) * experts]
            weights = gate(kernel, x)
            mixed.append(sum(w * o for w, o in zip(weights, outputs, strict=True)))
        inputs = mixed
    return [tower(p, t, inputs[t]) for t in range(T)]


def ple(p, x, own=(2, 3, 1), shared=2, levels=2):
    inputs = [x] * (T + 1)
    for j in range(levels):
        level, number, column = p[f"level_{j}"], 0, 0
        outputs = {}
        for group in range(T + 1):
            count = (*own, shared)[group]
            outputs[group] = [
                expert(level["experts"], number + i, inputs[group])
                for i in range(count)
            ]
            number += count
        mixed = []
        for group in range(T + (j < levels - 1)):
            everything = [o for g in range(T + 1) for o in outputs[g]]
            seen = everything if group == T else outputs[group] + outputs[T]
            kernel = level["gates"]["kernel"][:, column : column + len(seen)]
            column += len(seen)
            weights = gate(kernel, inputs[group])
            mixed.append(sum(w * o for w, o in zip(weights, seen, strict=True)))
        inputs = mixed
    return [tower(p, t, inputs[t]) for t in range(T)]


ORACLES = {
    "single_task": (single_task, {}),
    "shared_bottom": (shared_bottom, {}),
    "omoe": (omoe, {}),
    "mmoe": (mmoe, {}),
    "ml_mmoe": (ml_mmoe, {}),
    "ple": (ple, {"experts_per_task": (2, 3, 1), "shared_experts": 2}),
    "cgc": (
        lambda p, x: ple(p, x, levels=1),
        {"experts_per_task": (2, 3, 1), "shared_experts": 2},
    ),
}


@every_model
def test_every_model_has_an_oracle(kind):
    assert kind in ORACLES


@pytest.mark.parametrize("kind", ORACLES)
def test_a_model_matches_its_papers_equations(kind):
    oracle, options = ORACLES[kind]
    model, params, x = start(kind, **options)
    want = np.array([oracle(params, row) for row in x])
    np.testing.assert_allclose(logits(model, params, x), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ORACLES)
def test_a_gradient_matches_finite_differences_of_the_oracle(kind):
    oracle, options = ORACLES[kind]
    model, params, _ = start(kind, **options)
    x = random_array(2, D)
    domain = np.zeros(2, np.int32)
    loss = lambda p: jnp.sum(model.apply({"params": p}, x, domain) ** 2)
    grads = jax.jit(jax.grad(loss))(params)
    wide = jax.tree.map(np.float64, params)
    value = lambda p: sum(np.sum(np.square(oracle(p, np.float64(row)))) for row in x)
    rng = np.random.default_rng(0)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), wide)
    move = lambda t: jax.tree.map(lambda p, d: p + t * d, wide, direction)
    want = (value(move(1e-6)) - value(move(-1e-6))) / 2e-6
    parts = jax.tree.map(lambda g, d: (np.float64(g) * d).sum(), grads, direction)
    np.testing.assert_allclose(sum(jax.tree.leaves(parts)), want, rtol=1e-4)


@every_model
@pytest.mark.parametrize("tasks", [1, T])
def test_a_model_gives_one_float32_logit_a_task(kind, tasks):
    model = models.build(kind, num_tasks=tasks, num_domains=2)
    with jax.numpy_dtype_promotion("strict"):
        out = jax.eval_shape(
            model.init_with_output, jax.random.key(0), random_array(B, D), DOMAIN
        )[0]
    assert (out.shape, out.dtype) == ((B, tasks), jnp.float32)


@every_model
def test_every_parameter_has_a_finite_gradient_that_is_not_zero(kind):
    x = random_array(64, D)
    model, params, _ = start(kind, x=x)
    domain = np.zeros(64, np.int32)
    loss = lambda p: jnp.sum(model.apply({"params": p}, x, domain) ** 2)
    for path, grad in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(params)):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), f"{name} is not finite"
        assert np.any(grad), f"{name} is dead"


@every_model
def test_a_row_scores_alone_as_it_does_in_a_batch(kind):
    model, params, x = start(kind, batch_norm=False)
    whole = logits(model, params, x)
    alone = np.concatenate([logits(model, params, x[i : i + 1]) for i in range(B)])
    np.testing.assert_allclose(alone, whole, rtol=1e-5, atol=1e-6)


@every_model
def test_logits_are_not_clamped(kind):
    model, params, x = start(kind)
    heads = jax.tree.map(lambda p: -p, params["towers"]["heads"])
    negated = params | {"towers": params["towers"] | {"heads": heads}}
    want = -logits(model, params, x)
    np.testing.assert_allclose(logits(model, negated, x), want, rtol=1e-6)
    large = jax.tree.map(lambda p: 50 * p, params)
    assert np.abs(logits(model, large, x)).max() > 1000


@every_model
def test_batch_norm_and_dropout_are_options(kind):
    model = models.build(kind, num_tasks=T, batch_norm=True, dropout_rate=0.5)
    x = random_array(B, D)
    variables = jax.jit(model.init)(jax.random.key(0), x, DOMAIN)
    run = lambda seed: model.apply(
        variables,
        x,
        DOMAIN,
        True,
        rngs={"dropout": jax.random.key(seed)},
        mutable=["batch_stats"],
    )
    (first, updated), (second, _) = run(0), run(1)
    assert not np.array_equal(first, second)
    assert jax.tree.structure(updated["batch_stats"]) == jax.tree.structure(
        variables["batch_stats"]
    )


def test_ple_of_one_level_is_cgc():
    cgc, params, x = start("cgc", experts_per_task=(2, 3, 1))
    one = models.build(
        "ple", num_tasks=T, num_levels=1, experts_per_task=(2, 3, 1), **SMALL
    )
    np.testing.assert_array_equal(logits(cgc, params, x), logits(one, params, x))


def test_cgc_without_task_experts_is_mmoe():
    mmoe, params, x = start("mmoe", num_experts=5)
    cgc = models.build(
        "cgc", num_tasks=T, experts_per_task=0, shared_experts=5, **SMALL
    )
    same = {"level_0": params["level_0"], "towers": params["towers"]}
    np.testing.assert_allclose(logits(cgc, same, x), logits(mmoe, params, x), rtol=1e-6)


def test_mmoe_with_tied_gates_is_omoe():
    omoe, params, x = start("omoe", num_experts=5)
    mmoe = models.build("mmoe", num_tasks=T, num_experts=5, **SMALL)
    kernel = np.tile(params["level"]["gates"]["kernel"], (1, T))
    tied = {"experts": params["level"]["experts"], "gates": {"kernel": kernel}}
    same = {"level_0": tied, "towers": params["towers"]}
    np.testing.assert_allclose(
        logits(mmoe, same, x), logits(omoe, params, x), rtol=1e-5, atol=1e-6
    )


def test_omoe_of_one_expert_is_the_shared_bottom():
    bottom, params, x = start("shared_bottom")
    omoe = models.build("omoe", num_tasks=T, num_experts=1, **SMALL)
    stacked = jax.tree.map(lambda leaf: leaf[None], params["bottom"])
    same = {"level": {"experts": stacked}, "towers": params["towers"]}
    np.testing.assert_allclose(
        logits(omoe, same, x), logits(bottom, params, x), rtol=1e-5
    )


def moved_by_task(kind, task, level):
    """Which experts of a level move when only this task's loss does."""
    x = random_array(64, D)
    own = (2, 3, 1)
    model, params, _ = start(kind, x=x, experts_per_task=own, tower_dims=(17,))
    domain = np.zeros(64, np.int32)
    loss = lambda p: jnp.sum(model.apply({"params": p}, x, domain)[:, task])
    grads = jax.grad(loss)(params)
    kernel = grads[f"level_{level}"]["experts"]["Dense_0"]["kernel"]
    return np.abs(kernel).sum(axis=(1, 2)) > 0


def test_a_task_moves_others_experts_only_below_the_last_level():
    own = np.array([0, 0, 1, 1, 1, 2, 3, 3])
    seen = (own == 1) | (own == 3)
    np.testing.assert_array_equal(moved_by_task("cgc", 1, 0), seen)
    np.testing.assert_array_equal(moved_by_task("ple", 1, 1), seen)
    assert moved_by_task("ple", 1, 0).all()


def test_the_last_level_has_no_shared_gate():
    _, params, _ = start("ple", experts_per_task=(2, 3, 1), shared_experts=2)
    tasks = (2 + 2) + (3 + 2) + (1 + 2)
    assert params["level_0"]["gates"]["kernel"].shape == (D, tasks + 2 + 3 + 1 + 2)
    assert params["level_1"]["gates"]["kernel"].shape == (H, tasks)


def test_permuting_tasks_permutes_logits():
    model, params, x = start("mmoe", num_experts=5)
    order = np.array([2, 0, 1])
    kernel = params["level_0"]["gates"]["kernel"].reshape(D, T, 5)[:, order]
    towers = jax.tree.map(lambda leaf: leaf[order], params["towers"])
    experts = params["level_0"]["experts"]
    moved = {"experts": experts, "gates": {"kernel": kernel.reshape(D, -1)}}
    got = logits(model, {"level_0": moved, "towers": towers}, x)
    np.testing.assert_allclose(got, logits(model, params, x)[:, order], rtol=1e-5)


def test_mmoe_has_the_parameters_that_its_paper_counts():
    """100 x 16 x 8 in experts and 16 x 8 x 2 in towers, section 5.1; and the rest."""
    x = random_array(1, 100)
    _, params, _ = start(
        "mmoe", 2, x=x, num_experts=8, expert_dims=(16,), tower_dims=(8,)
    )
    kernels = lambda tree: sum(
        leaf.size
        for path, leaf in jax.tree.leaves_with_path(tree)
        if path[-1].key == "kernel"
    )
    experts, towers = params["level_0"]["experts"], params["towers"]["mlp"]
    assert kernels(experts) + kernels(towers) == 13056
    assert kernels(params["level_0"]["gates"]) == 100 * 8 * 2


def test_gate_weights_can_be_watched():
    model, params, x = start("ple")
    seen = model.apply({"params": params}, x, DOMAIN, mutable=["intermediates"])[1]
    for level, gates in (("level_0", T + 1), ("level_1", T)):
        weights = seen["intermediates"][level]["mixture"][0]
        assert weights.shape == (B, gates, 2 * T + 2)
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)


@every_model
def test_a_model_compiles_once(kind):
    model, params, x = start(kind)
    apply = jax.jit(model.apply)
    for _ in range(3):
        apply({"params": params}, x, DOMAIN)
    assert apply._cache_size() == 1


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("pel", {}, "Did you mean 'ple'"),
        ("ple", {"num_level": 1}, "Did you mean 'num_levels'"),
        ("ple", {"num_levels": 0}, "num_levels must be at least 1, got 0"),
        ("ple", {"experts_per_task": (1, 2)}, "one number for each of the 3 tasks"),
        ("ple", {"experts_per_task": 0, "shared_experts": 0}, "must see an expert"),
        ("ple", {"level_widths": (5,)}, "one width for each of the 2 levels"),
        ("mmoe", {"num_experts": 0}, "num_experts must be at least 1"),
        ("cgc", {"dropout_rate": 1.0}, r"dropout_rate must be in \[0, 1\)"),
        ("omoe", {"expert_dims": (0,)}, "widths of at least 1"),
    ],
)
def test_mistakes_are_explained(kind, options, message):
    with pytest.raises(ValueError, match=message):
        models.build(kind, num_tasks=T, **options)


@every_model
def test_every_option_is_explained(kind):
    described = models.describe(kind)
    assert described["summary"]
    assert all(option["help"] for option in described["options"].values())
