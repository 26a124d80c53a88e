"""STAR's promises about domains, each stated as an identity."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from lib.arrays import random_array, random_params

from ple_jax import models
from ple_jax.layers.norms import PartitionedNorm
from ple_jax.models.star import fold, with_new_domains
from ple_jax.train import one_domain

B, D, T, N = 29, 7, 3, 5
DOMAIN = np.arange(B, dtype=np.int32) % (N - 1)  # the last one is absent
SMALL = {"dims": (13, 11), "auxiliary_dims": (3,), "domain_dim": 2}


def start(num_domains=N, **options):
    model = models.build(
        "star", num_tasks=T, num_domains=num_domains, **SMALL | options
    )
    x = random_array(B, D)
    params = random_params(model, x, DOMAIN)
    shapes = jax.eval_shape(model.init, jax.random.key(0), x, DOMAIN)
    rng = np.random.default_rng(7)
    draw = lambda s: rng.uniform(0.5, 2, s.shape).astype(np.float32)
    stats = jax.tree.map(draw, shapes.get("batch_stats", {}))
    return model, {"params": params, "batch_stats": stats}, x


def train_step(model, variables, x, domain):
    return model.apply(variables, x, domain, True, mutable=["batch_stats"])


def test_private_factors_of_one_make_the_shared_model():
    model, variables, x = start(partitioned_norm=False, auxiliary_dims=())
    star = variables["params"]["star"]
    ones = {
        name: {"factor": np.ones_like(p["factor"]), "term": np.zeros_like(p["term"])}
        for name, p in star["private"].items()
    }
    got = model.apply({"params": {"star": star | {"private": ones}}}, x, DOMAIN)
    h = x
    for i in range(3):
        layer = star["shared"][f"layer_{i}"]
        h = h @ layer["kernel"] + layer["bias"]
        h = np.maximum(h, 0) if i < 2 else h
    np.testing.assert_allclose(got, h, rtol=1e-5, atol=1e-5)


def test_at_the_start_every_domain_is_the_shared_model():
    model = models.build("star", num_tasks=T, num_domains=N, auxiliary_dims=())
    x = random_array(B, D)
    variables = model.init(jax.random.key(0), x, DOMAIN)
    one, other = (model.apply(variables, x, np.full(B, p, np.int32)) for p in (0, 3))
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("p", [0, 2])
def test_a_domains_examples_move_no_other_domains_parameters(p):
    model, variables, x = start()
    stats = variables["batch_stats"]

    def loss(params):
        logits, _ = train_step(
            model, {"params": params, "batch_stats": stats}, x, np.full(B, p, np.int32)
        )
        return (logits**2).sum()

    grads = jax.grad(loss)(variables["params"])
    for path, grad in jax.tree.leaves_with_path(grads):
        if one_domain.is_private(path):
            others = np.delete(np.asarray(grad), p, axis=0)
            assert not others.any(), jax.tree_util.keystr(path)
            assert np.asarray(grad)[p].any(), jax.tree_util.keystr(path)


@pytest.mark.parametrize("options", [{}, {"partitioned_norm": False}])
@pytest.mark.parametrize("auxiliary", [(), (3,), (5, 3)])
def test_folded_networks_equal_the_live_model(options, auxiliary):
    model, variables, x = start(auxiliary_dims=auxiliary, **options)
    plain, folded = fold(model, variables)
    for p in range(N):
        live = model.apply(variables, x, np.full(B, p, np.int32))
        own = jax.tree.map(lambda leaf, p=p: leaf[p], folded)
        np.testing.assert_allclose(
            plain.apply({"params": own}, x), live, rtol=2e-5, atol=2e-5
        )


def test_a_folded_network_has_the_size_of_a_shared_bottom():
    model, variables, _x = start(auxiliary_dims=())
    _, folded = fold(model, variables)
    sizes = [leaf[0].size for leaf in jax.tree.leaves(folded)]
    assert sum(sizes) == (D + 1) * 13 + (13 + 1) * 11 + (11 + 1) * T


@pytest.mark.parametrize("axis", [0, 1], ids=["batch", "layer"])
def test_other_norms_of_the_input_are_those_of_the_batch_or_of_the_example(axis):
    kind = ("batch", "layer")[axis]
    off = {"partitioned_norm": False, "auxiliary_dims": ()}
    model, variables, x = start(**off, input_norm=kind)
    bare, _, _ = start(**off)
    params = dict(variables["params"])
    own = params.pop("norm")
    own = own if axis else own["norm"]
    mean, var = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    epsilon = 1e-6 if axis else 1e-5  # flax's, of the layer's and the batch's
    z = (x - mean) / np.sqrt(var + epsilon) * own["scale"] + own["bias"]
    logits = model.apply(variables, x, DOMAIN, True, mutable=["batch_stats"])[0]
    wanted = bare.apply({"params": params}, z, DOMAIN)
    np.testing.assert_allclose(logits, wanted, rtol=2e-4, atol=2e-4)
    with pytest.raises(ValueError, match="does not fold"):
        fold(model, variables)
    with pytest.raises(ValueError, match="set partitioned_norm = false"):
        models.build("star", num_tasks=T, num_domains=N, input_norm=kind)


# Partitioned normalisation, as equations 3 and 4 say.


def norm_by_loops(x, domain, params, mean, var, epsilon=1e-3):
    """mean and var: one row a domain."""
    out = np.zeros_like(x, np.float64)
    own = params["private"]
    for i, p in enumerate(domain):
        z = (np.float64(x[i]) - mean[p]) / np.sqrt(var[p] + epsilon)
        scale = params["scale"] * own["scale"][p]
        out[i] = scale * z + params["bias"] + own["bias"][p]
    return out


def norm(num_domains=N, **options):
    module = PartitionedNorm(num_domains, **options)
    x = random_array(B, D) * 3 + 2
    variables = module.init(jax.random.key(0), x, DOMAIN)
    return module, variables | {"params": random_params(module, x, DOMAIN)}, x


def test_training_normalises_by_each_domains_own_moments():
    module, variables, x = norm()
    got, _ = module.apply(variables, x, DOMAIN, True, mutable=["batch_stats"])
    mean = np.stack([x[p == DOMAIN].mean(0) for p in range(N - 1)])
    var = np.stack([x[p == DOMAIN].var(0) for p in range(N - 1)])
    want = norm_by_loops(x, DOMAIN, variables["params"], mean, var)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_mixed_batch_gives_what_single_domain_batches_give():
    module, variables, x = norm()
    mixed, moved = module.apply(variables, x, DOMAIN, True, mutable=["batch_stats"])
    moved = moved["batch_stats"]["private"]
    for p in range(N - 1):
        mine = p == DOMAIN
        alone, after = module.apply(
            variables, x[mine], DOMAIN[mine], True, mutable=["batch_stats"]
        )
        np.testing.assert_allclose(mixed[mine], alone, rtol=1e-5, atol=1e-5)
        for name, leaf in after["batch_stats"]["private"].items():
            np.testing.assert_allclose(moved[name][p], leaf[p], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("window", "late"), [(0.2, 5), (0.0, 1)])
def test_moving_averages_follow_their_formula_and_absent_domains_stay(window, late):
    module, variables, x = norm(momentum=0.25, window=window)
    before = variables["batch_stats"]["private"]
    want = {"mean": np.zeros((N, D)), "var": np.ones((N, D))}
    for turn in range(4):
        batch = x + turn
        _, moved = module.apply(variables, batch, DOMAIN, True, mutable=["batch_stats"])
        variables = variables | moved
        keep = min(0.25, turn / (turn + late))
        for p in range(N - 1):
            mine = batch[p == DOMAIN]
            want["mean"][p] = keep * want["mean"][p] + (1 - keep) * mine.mean(0)
            want["var"][p] = keep * want["var"][p] + (1 - keep) * mine.var(0)
    after = variables["batch_stats"]["private"]
    for name, values in want.items():
        np.testing.assert_allclose(after[name], values, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(after[name][-1], before[name][-1])


def test_scoring_uses_moving_averages_of_the_examples_own_domain():
    _model, variables, x = start()
    module = PartitionedNorm(N)
    kept = variables["batch_stats"]["norm"]["private"]
    params = variables["params"]["norm"]
    got = module.apply(
        {"params": params, "batch_stats": variables["batch_stats"]["norm"]}, x, DOMAIN
    )
    want = norm_by_loops(x, DOMAIN, params, kept["mean"], kept["var"])
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_one_example_of_a_domain_is_normalised_by_the_averages():
    module, variables, x = norm()
    one = np.zeros(B, np.int32)
    one[0] = 2
    got, moved = module.apply(variables, x, one, True, mutable=["batch_stats"])
    want = module.apply(variables, x, one)
    np.testing.assert_array_equal(got[0], want[0])
    after, before = moved["batch_stats"]["private"], variables["batch_stats"]["private"]
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[2], b[2]), after, before)


def test_a_row_scores_bit_for_bit_the_same_in_any_mix():
    model, variables, x = start()
    score = jax.jit(lambda x, domain: model.apply(variables, x, domain))
    want = np.asarray(score(x, DOMAIN))
    rng = np.random.default_rng(0)
    for _ in range(5):
        others, mix = random_array(B, D, seed=rng.integers(99)), rng.integers(0, N, B)
        place = rng.integers(B)
        for i in (0, 13):
            others[place], mix[place] = x[i], DOMAIN[i]
            got = score(others, mix.astype(np.int32))[place]
            np.testing.assert_array_equal(got, want[i])


def test_a_new_domain_starts_as_the_shared_network_and_alone_is_trained():
    model, variables, x = start()
    wider, longer = with_new_domains(model, variables, 2)
    assert wider.num_domains == N + 2
    np.testing.assert_array_equal(
        wider.apply(longer, x, DOMAIN), model.apply(variables, x, DOMAIN)
    )
    new = np.full(B, N + 1, np.int32)
    share = one_domain.own(longer["params"], N + 1)
    jax.tree.map(np.testing.assert_array_equal, *_factors(share["star"]["private"]))
    tx = optax.sgd(0.1)
    logits = lambda params: train_step(wider, longer | {"params": params}, x, new)[0]
    grads = jax.grad(lambda params: (logits(params) ** 2).sum())(longer["params"])
    frozen = jax.tree_util.tree_map_with_path(
        lambda path, g: g if one_domain.is_private(path) else 0 * g, grads
    )
    updates, _ = tx.update(frozen, tx.init(longer["params"]))
    after = longer | {"params": optax.apply_updates(longer["params"], updates)}
    before = model.apply(variables, x, DOMAIN)
    np.testing.assert_array_equal(wider.apply(after, x, DOMAIN), before)
    assert not np.allclose(wider.apply(after, x, new), wider.apply(longer, x, new))


def _factors(private):
    start = lambda path, leaf: jnp.full_like(leaf, path[-1].key == "factor")
    return private, jax.tree_util.tree_map_with_path(start, private)
