"""Models whose gates, own experts and towers belong to domains: what each one is."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from lib.arrays import assert_gradient, random_array, random_params, widened
from lib.oracles import expert, mlp, softmax

from ple_jax import models
from ple_jax.layers import per_domain

# Distinct primes, but for as many tasks as domains.
B, T, N, D, H, TOWER = 11, 3, 3, 7, 5, 13
DOMAIN = np.array([2, 0, 2, 1, 1, 2, 0, 2, 2, 0, 2], np.int32)
OWN = {"domains": (2,), "tasks_domains": (2, 3, 1)}  # experts of a domain's groups
SMALL = {"expert_dims": (13, H), "tower_dims": (TOWER,)}
EXPERTS, LEVELS = 5, 3  # of mmoe and its kin; of those that have levels
OWNERS = ("cgc", "ple", "adatt")  # whose groups own experts
LEVELLED = ("ml_mmoe", "ple", "adatt")
every_groups = pytest.mark.parametrize("groups", OWN)
both_ways = pytest.mark.parametrize("on_accelerator", [False, True])


def options_of(kind, groups):
    if kind in OWNERS:
        own = OWN[groups][0] if groups == "domains" else OWN["tasks_domains"]
        options = {"experts_per_task": own, "shared_experts": 2}
    else:
        options = {"num_experts": EXPERTS} if "moe" in kind else {}
    return options | ({"num_levels": LEVELS} if kind in LEVELLED else {})


@functools.cache
def start(kind, groups, domains=N):
    options = SMALL | options_of(kind, groups) | {"groups": groups}
    model = models.build(kind, num_tasks=T, num_domains=domains, **options)
    x = random_array(B, D)
    return model, random_params(model, x, DOMAIN % domains), x


# One example x (D,) of domain n at a time, from the papers' equations. A domain's own
# part `p` has a row of everything; its groups are its tasks, or the one of all tasks.


def of_domain(private, n):
    return jax.tree.map(lambda leaf: leaf[n], private)


def tower(p, group, h):
    h = expert(p["mlp"], group, h)
    return h @ p["heads"]["kernel"][group] + p["heads"]["bias"][group]


def towers(p, inputs):
    return np.concatenate([tower(p, group, h) for group, h in enumerate(inputs)])


def mixtures(gates, selectors, seen):
    """A gate a group; a group's columns follow those of the groups before it."""
    mixed, column = [], 0
    for selector, outputs in zip(selectors, seen, strict=True):
        weights = [1.0]
        if len(outputs) > 1:
            kernel = gates["kernel"][:, column : column + len(outputs)]
            weights, column = softmax(selector @ kernel), column + len(outputs)
        mixed.append(sum(w * o for w, o in zip(weights, outputs, strict=True)))
    return mixed


def experts_of(p, counts, inputs):
    """The outputs of each group's own experts, which read the group's input."""
    numbers = np.split(np.arange(sum(counts)), np.cumsum(counts)[:-1])
    return [
        [expert(p, e, x) for e in own] for own, x in zip(numbers, inputs, strict=True)
    ]


def head(p, counts, inputs, shared):
    """The last level and the towers of one domain."""
    level = p["level"]
    seen = [shared] * len(counts)
    if any(counts):
        own = experts_of(level["experts"], counts, inputs)
        seen = [outputs + shared for outputs in own]
    return towers(p["towers"], mixtures(level.get("gates"), inputs, seen))


def single_task(params, x, n, counts):
    ones = [1] * len(counts)
    private = of_domain(params["domains"]["private"], n)
    return head(private, ones, [x] * len(counts), [])


def shared_bottom(params, x, n, counts):
    private = of_domain(params["towers"]["private"], n)
    return towers(private, [mlp(params["bottom"], x)] * len(counts))


def omoe(params, x, n, counts):
    level, private = params["level"], of_domain(params["towers"]["private"], n)
    outputs = [expert(level["experts"], e, x) for e in range(EXPERTS)]
    return towers(private, mixtures(level["gates"], [x], [outputs]) * len(counts))


def ml_mmoe(params, x, n, counts, levels=LEVELS):
    inputs = [x] * EXPERTS
    for j in range(levels - 1):
        level = params[f"level_{j}"]
        outputs = [expert(level["experts"], e, h) for e, h in enumerate(inputs)]
        inputs = mixtures(level["gates"], [x] * EXPERTS, [outputs] * EXPERTS)
    given = [expert(params["experts"], e, h) for e, h in enumerate(inputs)]
    private = of_domain(params["domains"]["private"], n)
    return head(private, [0] * len(counts), [x] * len(counts), given)


def ple(params, x, n, counts, levels=LEVELS, shared=2):
    everyone = [*counts] * N  # the groups of domain 0, then those of domain 1, ...
    inputs = [x] * (len(everyone) + 1)
    for j in range(levels - 1):
        level = params[f"level_{j}"]
        *own, common = experts_of(level["experts"], [*everyone, shared], inputs)
        everything = [output for outputs in own for output in outputs] + common
        seen = [*(outputs + common for outputs in own), everything]
        inputs = mixtures(level["gates"], inputs, seen)
    common = [expert(params["shared"], e, inputs[-1]) for e in range(shared)]
    private = of_domain(params["domains"]["private"], n)
    mine = inputs[n * len(counts) : (n + 1) * len(counts)]
    return head(private, counts, mine, common)


def adatt(params, x, n, counts, shared=2):
    """Units of one domain and the shared one, whose gate each domain has for itself."""
    inputs = [x] * (len(counts) + 1)
    for j in range(LEVELS):
        last = j == LEVELS - 1
        of_all = params["shared" if last else f"shared_{j}"]
        private = of_domain(params["domains" if last else f"level_{j}"]["private"], n)
        level = private["level"]
        *own, common = [
            *experts_of(level["experts"], counts, inputs[:-1]),
            [expert(of_all, e, inputs[-1]) for e in range(shared)],
        ]
        units = own if last else [*own, common]
        everything = [output for outputs in [*own, common] for output in outputs]
        fused = mixtures(
            level["gates"], inputs[: len(units)], [everything] * len(units)
        )
        v = iter(level["residual"]["weights"])
        pairs = zip(fused, units, strict=True)
        inputs = [h + sum(next(v) * o for o in unit) for h, unit in pairs]
    return towers(private["towers"], inputs)


ORACLES = {
    "adatt": adatt,
    "single_task": single_task,
    "shared_bottom": shared_bottom,
    "omoe": omoe,
    "mmoe": functools.partial(ml_mmoe, levels=1),
    "ml_mmoe": ml_mmoe,
    "cgc": functools.partial(ple, levels=1),
    "ple": ple,
}
every_model = pytest.mark.parametrize("kind", ORACLES)


def test_every_model_has_an_oracle():
    grouped_models = [
        kind
        for kind in models.available()
        if "groups" in models.describe(kind)["options"]
    ]
    # That of cross-stitch, with its groups, is among those of all models.
    assert sorted([*ORACLES, "cross_stitch"]) == grouped_models


@contextlib.contextmanager
def one_way(on_accelerator):
    chosen = functools.partial(per_domain.by_domain, on_accelerator=on_accelerator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(per_domain, "by_domain", chosen)
        yield


@functools.cache
def compiled(kind, groups, on_accelerator):
    """(params, cotangent) -> logits of all, gradients."""
    model, params, x = start(kind, groups)

    def run(params, cotangent):
        call = lambda params: model.apply({"params": params}, x, DOMAIN)
        logits, pull_back = jax.vjp(call, params)
        return logits, pull_back(cotangent)[0]

    with one_way(on_accelerator):
        return jax.jit(run).lower(params, np.zeros((B, T), np.float32)).compile()


@both_ways
@every_groups
@every_model
def test_values_and_gradients_match_the_equations(kind, groups, on_accelerator):
    model, params, x = start(kind, groups)
    none = np.zeros((B, T), np.float32)
    logits = compiled(kind, groups, on_accelerator)(params, none)[0]
    rows, oracle = np.float64(x), functools.partial(ORACLES[kind], counts=OWN[groups])
    want = lambda p: np.array([oracle(p, *of) for of in zip(rows, DOMAIN, strict=True)])
    np.testing.assert_allclose(logits, want(widened(params)), rtol=1e-5, atol=1e-5)

    loss = lambda p: jnp.sum(model.apply({"params": p}, x, DOMAIN) ** 2)
    with one_way(on_accelerator):
        assert_gradient(loss, lambda p: np.sum(want(p) ** 2), params)


@both_ways
@every_groups
@every_model
def test_only_its_own_examples_move_what_a_domain_has(kind, groups, on_accelerator):
    _, params, _ = start(kind, groups)
    run = compiled(kind, groups, on_accelerator)
    for domain in range(N):
        own = np.repeat(np.float32(domain == DOMAIN)[:, None], T, axis=1)
        for path, grad in jax.tree.leaves_with_path(run(params, own)[1]):
            name = jax.tree_util.keystr(path)
            if per_domain.PRIVATE in name:
                moved = np.any(grad, axis=tuple(range(1, grad.ndim)))
                np.testing.assert_array_equal(moved, np.arange(N) == domain, name)


def split(level):
    """What a domain has of a level for itself, and the shared experts."""
    own = sum(OWN["tasks_domains"])
    experts = level["experts"]
    mine, shared = (
        jax.tree.map(lambda leaf, part=part: leaf[part], experts)
        for part in (slice(own), slice(own, None))
    )
    return level | {"experts": mine}, shared


def as_one_domain(kind, params):
    """The parameters of groups "tasks" as those of "tasks_domains" with one domain."""
    params = dict(params)
    private = lambda tree: {"private": jax.tree.map(lambda leaf: leaf[None], tree)}
    towers = params.pop("towers")
    if kind in ("shared_bottom", "omoe"):
        return params | {"towers": private(towers)}
    if kind == "single_task":
        return {"domains": private({"level": params["bottom"], "towers": towers})}
    last = params.pop(max(params))
    for name in [*params] if kind == "adatt" else []:  # domains own its lower levels
        level, params[f"shared_{name[-1]}"] = split(params[name])
        params[name] = private({"level": level})
    if kind in OWNERS:
        level, params["shared"] = split(last)
    else:
        level, params["experts"] = {"gates": last["gates"]}, last["experts"]
    return params | {"domains": private({"level": level, "towers": towers})}


@every_model
def test_pairs_with_one_domain_are_tasks(kind):
    of_pairs, pairs, x = start(kind, "tasks_domains", domains=1)
    of_tasks, params, _ = start(kind, "tasks", domains=1)
    same = as_one_domain(kind, params)
    assert jax.tree.map(jnp.shape, same) == jax.tree.map(jnp.shape, pairs)
    domain = np.zeros(B, np.int32)
    got = jax.jit(of_pairs.apply)({"params": same}, x, domain)
    want = jax.jit(of_tasks.apply)({"params": params}, x, domain)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@every_groups
@every_model
def test_batch_norm_is_refused(kind, groups):
    with pytest.raises(ValueError, match=f"batch_norm needs .*'tasks', got '{groups}'"):
        models.build(kind, num_tasks=T, num_domains=N, groups=groups, batch_norm=True)


@every_model
def test_unknown_groups_name_the_nearest(kind):
    with pytest.raises(ValueError, match=r"'domain' is not .* Did you mean 'domains'"):
        models.build(kind, num_tasks=T, groups="domain")


def trained(kind, groups, steps=200):
    """The loss after training where domains want the opposite of the same rows."""
    rows, rule = random_array(32, D), random_array(D, T, seed=2)
    labels = np.concatenate([rows @ rule > 0, rows @ rule < 0])
    x, domain = np.tile(rows, (2, 1)), np.repeat(np.arange(2, dtype=np.int32), 32)
    model = models.build(
        kind, num_tasks=T, num_domains=2, groups=groups, expert_dims=(16,)
    )
    adam = optax.adam(0.02)

    def loss(params):
        logits = model.apply({"params": params}, x, domain)
        return optax.sigmoid_binary_cross_entropy(logits, labels).mean()

    @jax.jit
    def step(params, moments):
        before, grads = jax.value_and_grad(loss)(params)
        updates, moments = adam.update(grads, moments)
        return before, optax.apply_updates(params, updates), moments

    params = random_params(model, x, domain)
    moments = adam.init(params)
    for _ in range(steps):
        before, params, moments = step(params, moments)
    return before


@every_groups
@every_model
def test_domains_of_opposite_signs_are_learned(kind, groups):
    assert trained(kind, groups) < 0.1


@every_model
def test_tasks_alone_cannot_tell_domains_apart(kind):
    """No function of x does better than chance."""
    assert trained(kind, "tasks") >= np.log(2) - 1e-5
