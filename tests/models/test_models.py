"""Models: what each is by its paper, and what every one of them must do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_gradient, random_array, widened
from lib.oracles import ORACLES, mulann_penalty, sluice_penalty, star_training
from lib.small_models import (
    SMALL,
    B,
    D,
    H,
    N,
    T,
    apply,
    having,
    intermediates,
    logits,
    mixed,
    scores,
    start,
    statistics,
)

from ple_jax import models

every_model = pytest.mark.parametrize("kind", models.available())


@every_model
def test_every_model_has_an_oracle(kind):
    assert kind in ORACLES


def from_oracle(name):
    oracle, options = ORACLES[name]
    return oracle, start(name.split()[0], **options)


@pytest.mark.parametrize("name", ORACLES)
def test_a_model_matches_its_papers_equations(name):
    oracle, (model, params, x) = from_oracle(name)
    known = widened(params | statistics(model))
    want = [oracle(known, np.float64(row), i % N) for i, row in enumerate(x)]
    np.testing.assert_allclose(logits(model, params, x), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ORACLES)
def test_a_gradient_matches_finite_differences_of_the_oracle(name):
    oracle, (model, params, x) = from_oracle(name)
    x, kept = x[:N], widened(statistics(model))
    loss = lambda p: jnp.sum(scores(model, p, x)[0] ** 2)
    value = lambda p: sum(
        np.sum(np.square(oracle(p | kept, np.float64(row), i % N)))
        for i, row in enumerate(x)
    )
    assert_gradient(loss, value, params)


def test_sluice_keeps_the_subspaces_of_a_task_apart():
    options = {"subspaces": 5, "num_layers": 3}
    model, params, x = start("sluice", orthogonality=0.7, **options)
    value = lambda p: sluice_penalty(p, 0.7, subspaces=5, layers=3)
    penalty = lambda p: scores(model, p, x)[1]
    np.testing.assert_allclose(penalty(params), value(widened(params)), rtol=1e-5)
    assert_gradient(penalty, value, params)
    model, params, x = start("sluice", subspaces=1)
    assert not scores(model, params, x)[1]


def test_mulann_reverses_the_gradient_of_its_bottom_alone():
    model, params, x = start("mulann", discriminator_weight=0.7)
    value = lambda p: mulann_penalty(p, np.float64(x), mixed(B), 0.7)
    penalty = lambda p: scores(model, p, x)[1]
    np.testing.assert_allclose(penalty(params), value(widened(params)), rtol=1e-5)

    def of_some(names):
        """Both as functions of some modules' parameters only."""
        few = {name: params[name] for name in names}
        others = widened(params)
        return lambda p: penalty(params | p), lambda p: value(others | p), few

    assert_gradient(*of_some(["discriminator", "discriminator_head"]))
    loss, of_bottom, few = of_some(["bottom"])
    assert_gradient(loss, lambda p: -of_bottom(p), few)


def test_mulann_without_domains_to_tell_apart_has_no_discriminator():
    model, params, x = start("mulann", domains=1)
    assert set(params) == {"bottom", "towers"}
    assert scores(model, params, x)[1] == 0


@every_model
def test_init_gives_what_a_model_keeps_and_no_penalty(kind):
    model, _, x = start(kind)
    variables = jax.eval_shape(model.init, jax.random.key(0), x, mixed(B))
    assert set(variables) - {"batch_stats"} == {"params"}


@pytest.mark.parametrize("kind", ["sluice", "mulann"])
def test_a_penalty_may_weigh_nothing(kind):
    name = {"sluice": "orthogonality", "mulann": "discriminator_weight"}[kind]
    model, params, x = start(kind, **{name: 0.0})
    assert scores(model, params, x)[1] == 0


def test_star_normalises_a_training_batch_by_domain():
    model, params, x = start("star")
    domain = np.int32([0, 2, 0, 2, 2, 1, 0, 2, 0, 2, 2])  # one example of domain 1
    kept = statistics(model)
    train = jax.jit(lambda v: model.apply(v, x, domain, True, mutable=["batch_stats"]))
    got = train({"params": params} | kept)[0]
    want = star_training(widened(params | kept), np.float64(x), domain)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@every_model
@pytest.mark.parametrize("tasks", [1, T])
def test_a_model_gives_one_float32_logit_a_task(kind, tasks):
    model = models.build(kind, num_tasks=tasks, num_domains=N)
    with jax.numpy_dtype_promotion("strict"):
        out = jax.eval_shape(
            model.init_with_output, jax.random.key(0), random_array(B, D), mixed(B)
        )[0]
    assert (out.shape, out.dtype) == ((B, tasks), jnp.float32)


@every_model
def test_every_parameter_has_a_finite_gradient_that_is_not_zero(kind):
    x = random_array(64, D)
    model, params, _ = start(kind, x=x)

    def loss(params):
        logits, penalty = scores(model, params, x)
        return jnp.sum(logits**2) + penalty

    grads = jax.jit(jax.grad(loss))(params)
    largest = max(np.abs(grad).max() for grad in jax.tree.leaves(grads))
    for path, grad in jax.tree.leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), f"{name} is not finite"
        assert np.abs(grad).max() > 1e-6 * largest, f"{name} is dead"  # not rounding


@every_model
def test_a_row_scores_alone_as_it_does_in_a_batch(kind):
    model, params, x = start(kind)
    whole = logits(model, params, x)
    one = lambda i: logits(model, params, x[i : i + 1], mixed(B)[i : i + 1])
    alone = np.concatenate([one(i) for i in range(B)])
    np.testing.assert_allclose(alone, whole, rtol=1e-5, atol=1e-6)


@every_model
def test_logits_are_not_clamped(kind):
    model, params, x = start(kind, tasks=7)  # some of either sign
    large = logits(model, jax.tree.map(lambda p: 50 * p, params), x)
    assert large.min() < -1000
    assert large.max() > 1000


@every_model
def test_batch_norm_and_dropout_are_options(kind):
    options = having(kind, {"batch_norm": True, "dropout_rate": 0.5})
    model, params, x = start(kind, **options)
    kept = statistics(model)
    assert kept or "batch_norm" not in options

    @jax.jit
    def run(seed):
        rngs = {"dropout": jax.random.key(seed)}
        variables = {"params": params} | kept
        return model.apply(
            variables, x, mixed(B), True, rngs=rngs, mutable=["batch_stats"]
        )

    (first, updated), (second, _) = run(0), run(1)
    assert not np.array_equal(first, second)
    assert jax.tree.structure(updated) == jax.tree.structure(kept)


def moved_by_task(kind, task, level):
    """Which experts of a level move when only this task's loss does."""
    x = random_array(64, D)
    own = (2, 3, 1)
    model, params, _ = start(kind, x=x, experts_per_task=own, tower_dims=(17,))
    loss = lambda p: jnp.sum(scores(model, p, x)[0][:, task])
    grads = jax.jit(jax.grad(loss))(params)
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


@pytest.mark.parametrize("kind", ["ple", "adatt"])
def test_gate_weights_can_be_watched(kind):
    model, params, x = start(kind)
    seen = intermediates(model, params, x)
    for level, gates in (("level_0", T + 1), ("level_1", T)):
        weights = seen[level]["mixture"][0]
        assert weights.shape == (B, gates, 2 * T + 2)
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)


def test_alignment_weights_can_be_watched():
    model, params, x = start("mran")
    seen = intermediates(model, params, x)
    weights = seen["alignment"][0]
    assert weights.shape == (B, T, SMALL["num_features"])
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)


@every_model
def test_a_model_compiles_once(kind):
    model, params, x = start(kind)
    before = apply._cache_size()
    logits(model, params, x)
    logits(model, params, x + 1, mixed(B)[::-1])
    assert apply._cache_size() <= before + 1


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("pel", {}, "Did you mean 'ple'"),
        ("ple", {"num_level": 1}, "Did you mean 'num_levels'"),
        ("cgc", {"num_levels": 2}, "'num_levels' is not a known option of model 'cgc'"),
        ("mmoe", {"num_levels": 2}, "'num_levels' is not a known option"),
        ("ple", {"num_levels": 0}, "num_levels must be at least 1, got 0"),
        ("ple", {"experts_per_task": (1, 2)}, "one number for each of the 3 tasks"),
        ("ple", {"experts_per_task": 0, "shared_experts": 0}, "must see an expert"),
        ("adatt", {"experts_per_task": (1, 0, 2)}, r"must own an expert.* \[1, 0, 2\]"),
        ("adatt", {"shared_sees": "all"}, "'shared_sees' is not a known option"),
        ("ple", {"level_widths": (5,)}, "one width for each of the 2 levels"),
        ("mmoe", {"num_experts": 0}, "num_experts must be at least 1"),
        ("cgc", {"dropout_rate": 1.0}, r"dropout_rate must be in \[0, 1\)"),
        ("omoe", {"expert_dims": (0,)}, "widths of at least 1"),
        ("omoe", {"expert_dims": (2 * 10**9,)}, "widths of at most 1,048,576"),
        ("omoe", {"groups": "domain"}, "Did you mean 'domains'"),
        ("mmoe", {"groups": "domains", "batch_norm": True}, "needs groups = 'tasks'"),
        ("asymmetric", {"fusion": "summ"}, "Did you mean 'sum'"),
        ("asymmetric", {"reads": ((0,), (0, 1))}, "a list for each of the 3 tasks"),
        (
            "asymmetric",
            {"reads": ((0,), (0, 3), (1, 2))},
            r"reads\[1\] must name .* bottoms \[0, 1, 2\], each once, got \[0, 3\]",
        ),
        ("asymmetric", {"reads": ((0,), (1, 1), (2,))}, r"each once, got \[1, 1\]"),
        (
            "asymmetric",
            {"reads": ((0,), (), (1, 2))},
            r"reads\[1\] must name one or more",
        ),
        ("asymmetric", {"reads": ((0,), (0,), (0,))}, "No task reads bottom 1"),
        ("customized", {"share": False}, "Did you mean 'shared'"),
        ("cross_stitch", {"stitch_rate": -1.0}, "stitch_rate must be at least 0"),
        ("sluice", {"width": 7}, "width must be a multiple of the 2 subspaces, got 7"),
        ("sluice", {"subspaces": 0}, "subspaces must be at least 1, got 0"),
        ("sluice", {"alpha_start": "balance"}, "Did you mean 'balanced'"),
        ("sluice", {"beta_start": "imbalance"}, "Did you mean 'imbalanced'"),
        ("sluice", {"orthogonality": -0.1}, "orthogonality must be at least 0"),
        ("mran", {"width": 7}, "width must be a multiple of the 2 heads, got 7"),
        ("mran", {"num_features": 0}, "num_features must be at least 1"),
        ("star", {"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ("star", {"auxiliary_dims": (0,)}, "auxiliary_dims must be widths of at least"),
        ("mulann", {"discriminator_weight": -1.0}, "discriminator_weight must be at"),
        ("separate", {"tower_dims": (-1,)}, "tower_dims must be widths of at least 1"),
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
