"""Models that are others in disguise: the same parameters give the same logits."""

from functools import partial

import jax
import numpy as np
import pytest
from lib.arrays import assert_close
from lib.small_models import SMALL, B, D, H, T, logits, mixed, start

from ple_jax import models
from ple_jax.layers.stitch import near_identity

grouped = [k for k in models.available() if "groups" in models.describe(k)["options"]]


assert_same_logits = partial(assert_close, rtol=1e-5, atol=1e-6)


def test_ple_of_one_level_is_cgc():
    cgc, params, x = start("cgc", experts_per_task=(2, 3, 1))
    one, _, _ = start("ple", num_levels=1, experts_per_task=(2, 3, 1))
    np.testing.assert_array_equal(logits(cgc, params, x), logits(one, params, x))


def test_cgc_without_task_experts_is_mmoe():
    mmoe, params, x = start("mmoe", num_experts=5)
    cgc, _, _ = start("cgc", experts_per_task=0, shared_experts=5)
    same = {"level_0": params["level_0"], "towers": params["towers"]}
    assert_same_logits(logits(cgc, same, x), logits(mmoe, params, x))


# Units of AdaTT without the residual, and with it.
UNITS = {"shared_experts": 0, "experts_per_task": 2}


def without_residual(params):
    """All v at 0."""
    zeros = lambda level: {"weights": 0 * level["residual"]["weights"]}
    return {
        name: tree | {"residual": zeros(tree)} if "residual" in tree else tree
        for name, tree in params.items()
    }


def fusing(params, *names):
    """Experts and gates of a level, under other names."""
    return {name: params[name] for name in names}


def test_adatt_of_one_level_without_residual_is_mmoe():
    adatt, params, x = start("adatt", num_levels=1, **UNITS)
    mmoe, _, _ = start("mmoe", num_experts=2 * T)
    level = fusing(params["level_0"], "experts", "gates")
    same = {"level_0": level, "towers": params["towers"]}
    got = logits(adatt, without_residual(params), x)
    assert_same_logits(got, logits(mmoe, same, x))
    assert not np.allclose(logits(adatt, params, x), got)


def test_adatt_without_residual_is_ml_mmoe_where_units_share_a_gate():
    """ML-MMoE selects by x at every level, so that the last gates weigh all alike."""
    adatt, params, x = start("adatt", **UNITS)
    ml_mmoe, _, _ = start("ml_mmoe", num_experts=2 * T)
    first, last = params["level_0"], params["level_1"]
    even = lambda kernel, rows: {"kernel": np.zeros((rows, kernel.shape[1]))}
    params["level_1"] = last | {"gates": even(last["gates"]["kernel"], H)}
    tied = np.repeat(first["gates"]["kernel"].reshape(D, T, 2 * T), 2, axis=1)
    same = {
        "level_0": {
            "experts": first["experts"],
            "gates": {"kernel": tied.reshape(D, -1)},
        },
        "level_1": {
            "experts": last["experts"],
            "gates": even(last["gates"]["kernel"], D),
        },
        "towers": params["towers"],
    }
    got = logits(adatt, without_residual(params), x)
    assert_same_logits(got, logits(ml_mmoe, same, x))


def test_adatt_of_one_expert_in_all_takes_it_twice():
    options = {"num_levels": 1, "experts_per_task": 1, "shared_experts": 0}
    adatt, params, x = start("adatt", tasks=1, **options)
    single, _, _ = start("single_task", tasks=1)
    towers = params["towers"]
    first = towers["mlp"]["Dense_0"]
    twice = {"mlp": {"Dense_0": first | {"kernel": 2 * first["kernel"]}}}
    same = {"bottom": params["level_0"], "towers": towers | twice}
    assert_same_logits(logits(adatt, params, x), logits(single, same, x))


def test_mmoe_with_tied_gates_is_omoe():
    omoe, params, x = start("omoe", num_experts=5)
    mmoe, _, _ = start("mmoe", num_experts=5)
    kernel = np.tile(params["level"]["gates"]["kernel"], (1, T))
    tied = {"experts": params["level"]["experts"], "gates": {"kernel": kernel}}
    same = {"level_0": tied, "towers": params["towers"]}
    assert_same_logits(logits(mmoe, same, x), logits(omoe, params, x))


def test_omoe_of_one_expert_is_the_shared_bottom():
    bottom, params, x = start("shared_bottom")
    omoe, _, _ = start("omoe", num_experts=1)
    stacked = jax.tree.map(lambda leaf: leaf[None], params["bottom"])
    same = {"level": {"experts": stacked}, "towers": params["towers"]}
    assert_same_logits(logits(omoe, same, x), logits(bottom, params, x))


def test_customized_without_a_shared_bottom_is_single_task():
    model, params, x = start("customized", shared=False)
    single, _, _ = start("single_task")
    same = {"bottom": {"experts": params["bottoms"]}, "towers": params["towers"]}
    assert_same_logits(logits(model, params, x), logits(single, same, x))


@pytest.mark.parametrize("fusion", ["concat", "sum", "mean"])
def test_asymmetric_tasks_that_read_only_their_own_are_single_tasks(fusion):
    reads = tuple((t,) for t in range(T))
    model, params, x = start("asymmetric", reads=reads, fusion=fusion)
    single, _, _ = start("single_task")
    towers = params["towers"]
    if fusion == "concat":
        towers = {"mlp": {"Dense_0": params["joined"]}} | towers
    same = {"bottom": {"experts": params["bottoms"]}, "towers": towers}
    assert_same_logits(logits(model, params, x), logits(single, same, x))


def test_asymmetric_reads_may_stand_in_any_order():
    one, params, x = start("asymmetric", reads=((1, 0), (1,), (2, 0, 1)))
    other, _, _ = start("asymmetric", reads=((0, 1), (1,), (0, 1, 2)))
    kernel = params["joined"]["kernel"][[1, 0, 2, 4, 5, 3]]
    moved = params | {"joined": params["joined"] | {"kernel": kernel}}
    assert_same_logits(logits(one, params, x), logits(other, moved, x))


def single_from_layers(params):
    layers = {
        f"Dense_{name[-1]}": layer["Dense_0"]
        for name, layer in params.items()
        if name.startswith("layer_")
    }
    return {"bottom": {"experts": layers}, "towers": params["towers"]}


def test_cross_stitch_that_keeps_its_own_is_single_task():
    model, params, x = start("cross_stitch", same=1.0)
    fresh = jax.jit(model.init)(jax.random.key(0), x, mixed(B))["params"]
    single, _, _ = start("single_task")
    params |= {name: fresh[name] for name in ("stitch_0", "stitch_1")}
    same = single_from_layers(params)
    assert_same_logits(logits(model, params, x), logits(single, same, x))


def test_cross_stitch_of_equal_channels_has_one_weight_a_pair():
    model, params, x = start("cross_stitch")
    wide, _, _ = start("cross_stitch", per_channel=True)
    widths = zip(("stitch_0", "stitch_1"), SMALL["expert_dims"], strict=True)
    spread = lambda alpha, width: np.tile(alpha[:, :, None], (1, 1, width))
    same = params | {
        name: {"stitch": spread(params[name]["stitch"], width)}
        for name, width in widths
    }
    assert_same_logits(logits(wide, same, x), logits(model, params, x))


def test_sluice_of_one_subspace_that_mixes_nothing_is_single_task():
    model, params, x = start("sluice", subspaces=1, num_layers=3)
    width = SMALL["width"]
    single, _, _ = start("single_task", expert_dims=(width,) * 3)
    params |= {f"stitch_{i}": {"stitch": np.eye(T, dtype=np.float32)} for i in range(3)}
    params |= {"skip": np.tile(np.float32([0, 0, 1]), (T, 1))}
    same = single_from_layers(params)
    assert_same_logits(logits(model, params, x), logits(single, same, x))


def test_sluice_of_one_subspace_and_no_skips_is_cross_stitch():
    model, params, x = start("sluice", subspaces=1)
    stitched, _, _ = start("cross_stitch", expert_dims=(SMALL["width"],) * 2)
    params |= {"skip": np.tile(np.float32([0, 1]), (T, 1))}
    same = {name: leaf for name, leaf in params.items() if name != "skip"}
    assert_same_logits(logits(model, params, x), logits(stitched, same, x))


def test_mulann_scores_as_the_shared_bottom_whatever_the_domain():
    model, params, x = start("mulann")
    bottom, _, _ = start("shared_bottom")
    same = {name: params[name] for name in ("bottom", "towers")}
    want = logits(bottom, same, x)
    for domain in (mixed(B), np.full(B, 2, np.int32)):
        np.testing.assert_array_equal(logits(model, params, x, domain), want)


# Models of several domains, at one domain and within each of several.


def within(tree, n):
    """What domain n has for itself."""
    return jax.tree.map(lambda leaf: leaf[n], tree["private"])


@pytest.mark.parametrize("domains", [1, 3])
def test_separate_is_a_shared_bottom_within_each_domain(domains):
    model, params, x = start("separate", domains=domains)
    bottom, _, _ = start("shared_bottom")
    for n in range(domains):
        domain = np.full(B, n, np.int32)
        got = logits(model, params, x, domain)
        assert_same_logits(got, logits(bottom, within(params["domains"], n), x))


@pytest.mark.parametrize("domains", [1, 3])
def test_bare_star_is_plain_layers_within_each_domain(domains):
    bare = {"partitioned_norm": False, "auxiliary_dims": ()}
    model, params, x = start("star", domains=domains, **bare)
    plain, _, _ = start("shared_bottom", expert_dims=(*SMALL["dims"],), tower_dims=())
    shared = params["star"]["shared"]
    for n in range(domains):
        own = within(params["star"], n)
        layers = {
            f"Dense_{i}": {
                "kernel": shared[f"layer_{i}"]["kernel"] * own[f"layer_{i}"]["factor"],
                "bias": shared[f"layer_{i}"]["bias"] + own[f"layer_{i}"]["term"],
            }
            for i in range(3)
        }
        last = layers.pop("Dense_2")
        heads = {"kernel": last["kernel"].T[:, :, None], "bias": last["bias"][:, None]}
        same = {"bottom": layers, "towers": {"heads": heads}}
        domain = np.full(B, n, np.int32)
        assert_same_logits(logits(model, params, x, domain), logits(plain, same, x))


def one_domain(kind, params, n):
    """Parameters of the model of tasks that a model of pairs is within domain n."""
    if "domains" not in params:
        return params | {"towers": within(params["towers"], n)}
    head = within(params["domains"], n)
    given = [params[name] for name in ("experts", "shared") if name in params]
    level = joined(head.get("level", {}), given)
    lower = {
        name: joined(within(tree, n)["level"], [params[f"shared_{name[-1]}"]])
        if "private" in tree
        else tree
        for name, tree in params.items()
        if name.startswith("level_")
    }
    last = "bottom" if kind == "single_task" else f"level_{len(lower)}"
    return lower | {last: level, "towers": head["towers"]}


def joined(level, given):
    """A level whose last experts are given from outside, as one."""
    own = [level["experts"]] if "experts" in level else []
    one = jax.tree.map(lambda *leaves: np.concatenate(leaves), *own, *given)
    return level | {"experts": one}


@pytest.mark.parametrize("kind", grouped)
def test_with_one_domain_groups_of_pairs_are_groups_of_tasks(kind):
    model, params, x = start(kind, domains=1, groups="tasks_domains")
    tasks, _, _ = start(kind)
    same = one_domain(kind, params, 0)
    assert_same_logits(logits(model, params, x), logits(tasks, same, x))


# Networks of other domains reach an example in the other two.
@pytest.mark.parametrize("kind", sorted(set(grouped) - {"ple", "cross_stitch"}))
def test_groups_of_pairs_are_groups_of_tasks_within_each_domain(kind):
    model, params, x = start(kind, groups="tasks_domains")
    tasks, _, _ = start(kind)
    for n in range(model.num_domains):
        got = logits(model, params, x, np.full(B, n, np.int32))
        assert_same_logits(got, logits(tasks, one_domain(kind, params, n), x))


@pytest.mark.parametrize("kind", grouped)
def test_for_one_task_pairs_are_domains(kind):
    pairs, params, x = start(kind, tasks=1, groups="tasks_domains")
    domains, _, _ = start(kind, tasks=1, groups="domains")
    np.testing.assert_array_equal(logits(pairs, params, x), logits(domains, params, x))


@pytest.mark.parametrize("kind", models.available())
def test_a_score_does_not_depend_on_whose_domain_the_others_are(kind):
    model, params, x = start(kind)
    rows = mixed(B) == 1
    alone = logits(model, params, x, np.full(B, 1, np.int32))
    assert_same_logits(logits(model, params, x)[rows], alone[rows])


# Mixing weights at the start.


def test_the_residual_of_adatt_starts_within_its_bounds():
    own = (1, 4, 4)
    params = fresh("adatt", experts_per_task=own, shared_experts=2)
    counts = np.array([*own, 2])
    for level, units in (("level_0", T + 1), ("level_1", T)):
        weights = np.asarray(params[level]["residual"]["weights"])
        most = np.repeat(1 / np.sqrt(counts[:units]), counts[:units])
        assert (np.abs(weights) <= most).all()
        assert min(weights) < 0 < max(weights)
        assert np.abs(weights / most).max() > 0.5
    single = fresh("adatt", experts_per_task=1, shared_experts=1)
    assert not any("residual" in tree for tree in single.values())


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("same", [0.0, 0.9, 1.0])
def test_near_identity_rows_sum_to_one(size, same):
    matrix = near_identity(size, same)
    assert matrix.shape == (size, size)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.diag(matrix), same if size > 1 else 1)
    others = matrix[~np.eye(size, dtype=bool)]
    np.testing.assert_allclose(others, (1 - same) / max(1, size - 1), atol=1e-7)


def fresh(kind, **options):
    model, _, x = start(kind, **options)
    return jax.jit(model.init)(jax.random.key(0), x, mixed(B))["params"]


@pytest.mark.parametrize("alpha", ["balanced", "imbalanced"])
@pytest.mark.parametrize("beta", ["balanced", "imbalanced"])
def test_sluice_starts_balanced_or_near_itself(alpha, beta):
    options = {"alpha_start": alpha, "beta_start": beta, "num_layers": 3}
    params = fresh("sluice", **options)
    own, other = {"balanced": (1 / 6, 1 / 6), "imbalanced": (0.9, 0.02)}[alpha]
    want = np.where(np.eye(6, dtype=bool), own, other)  # 3 tasks of 2 subspaces
    for i in range(3):
        np.testing.assert_allclose(params[f"stitch_{i}"]["stitch"], want, rtol=1e-5)
    skip = {"balanced": [1 / 3] * 3, "imbalanced": [0.05, 0.05, 0.9]}[beta]
    np.testing.assert_allclose(params["skip"], [skip] * T, rtol=1e-5)


@pytest.mark.parametrize("per_channel", [False, True])
def test_cross_stitch_starts_near_itself(per_channel):
    params = fresh("cross_stitch", same=0.8, per_channel=per_channel)
    want = np.where(np.eye(T, dtype=bool), 0.8, 0.1)
    for i, width in enumerate(SMALL["expert_dims"]):
        alpha = params[f"stitch_{i}"]["stitch"]
        assert alpha.shape == (T, T) + (width,) * per_channel
        start = want[:, :, None] if per_channel else want
        np.testing.assert_allclose(alpha, np.broadcast_to(start, alpha.shape), 1e-5)
