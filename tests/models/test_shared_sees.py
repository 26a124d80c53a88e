"""PLE whose shared gate sees its own domain's experts alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import (
    assert_close,
    assert_gradient,
    random_array,
    random_params,
    widened,
)
from lib.oracles import expert, softmax

from ple_jax import models
from ple_jax.layers.per_domain import PRIVATE

B, T, N, D, H, TOWER, LEVELS = 11, 2, 3, 7, 5, 13, 3
DOMAIN = np.array([2, 0, 2, 2, 0, 2, 2, 0, 2, 1, 2], np.int32)  # 3, 1 and 7 examples
COUNTS, SHARED = (2, 1), 2  # experts of a domain's tasks
OPTIONS = {
    "num_levels": LEVELS,
    "experts_per_task": COUNTS,
    "shared_experts": SHARED,
    "expert_dims": (13, H),
    "tower_dims": (TOWER,),
    "groups": "tasks_domains",
}


def build(domains=N, shared_sees="own_domain", **options):
    options = OPTIONS | {"shared_sees": shared_sees} | options
    return models.build("ple", num_tasks=T, num_domains=domains, **options)


def gate(kernel, selector, outputs):
    weights = softmax(selector @ kernel)
    return sum(w * output for w, output in zip(weights, outputs, strict=True))


def one_example(params, x, n):
    """Logits (T,) of one example x (D,) of domain n, in float64."""
    inputs = [x] * (T + 1)  # of each task, then of the shared group
    for j in range(LEVELS):
        last = j == LEVELS - 1
        of_all = params["shared"] if last else params[f"shared_{j}"]
        private = params["domains"] if last else params[f"level_{j}"]
        own = jax.tree.map(lambda leaf: leaf[n], private[PRIVATE])
        shared = [expert(of_all, e, inputs[T]) for e in range(SHARED)]
        of_task, number = [], 0
        for t, count in enumerate(COUNTS):
            numbers = range(number, number + count)
            experts = own["level"]["experts"]
            of_task.append([expert(experts, e, inputs[t]) for e in numbers])
            number += count
        seen = [outputs + shared for outputs in of_task]
        if not last:
            seen.append([*of_task[0], *of_task[1], *shared])
        kernel, column, mixed = own["level"]["gates"]["kernel"], 0, []
        for selector, outputs in zip(inputs, seen, strict=False):
            columns = kernel[:, column : column + len(outputs)]
            mixed.append(gate(columns, selector, outputs))
            column += len(outputs)
        assert column == kernel.shape[1]
        inputs = mixed
    towers = own["towers"]
    hidden = [expert(towers["mlp"], t, h) for t, h in enumerate(inputs)]
    heads = towers["heads"]
    return np.array(
        [
            h @ heads["kernel"][t, :, 0] + heads["bias"][t, 0]
            for t, h in enumerate(hidden)
        ]
    )


def test_values_and_gradients_match_the_equations():
    model, x = build(), random_array(B, D)
    params = random_params(model, x, DOMAIN)
    rows = list(zip(np.float64(x), DOMAIN, strict=True))
    want = lambda p: np.stack([one_example(p, row, n) for row, n in rows])
    got = jax.jit(model.apply)({"params": params}, x, DOMAIN)
    np.testing.assert_allclose(got, want(widened(params)), rtol=1e-5, atol=1e-5)
    loss = lambda p: jnp.sum(model.apply({"params": p}, x, DOMAIN) ** 2)
    assert_gradient(loss, lambda p: np.sum(want(p) ** 2), params)


def test_other_domains_neither_move_a_score_nor_are_moved():
    model, x = build(), random_array(B, D)
    params = random_params(model, x, DOMAIN)

    @jax.jit
    def run(params):
        score = lambda p: model.apply({"params": p}, x, DOMAIN)[9].sum()
        return jax.value_and_grad(score)(params)

    def with_others(leaf):
        changed = np.full_like(leaf, 0.7)
        changed[1] = leaf[1]
        return changed

    changed = {
        name: jax.tree.map(with_others, tree) if PRIVATE in tree else tree
        for name, tree in params.items()
    }
    score, grads = run(params)
    assert score == run(changed)[0]
    for name, tree in grads.items():
        for leaf in jax.tree.leaves(tree):
            if PRIVATE in tree:
                moved = np.any(leaf, axis=tuple(range(1, leaf.ndim)))
                np.testing.assert_array_equal(moved, [False, True, False], name)


def test_with_one_domain_it_is_the_paper():
    own, whole, x = build(1), build(1, "all"), random_array(B, D)
    domain = np.zeros(B, np.int32)
    params = random_params(whole, x, domain)
    same, split = dict(params), sum(COUNTS)
    for j in range(LEVELS - 1):
        level = dict(same.pop(f"level_{j}"))
        experts = level["experts"]
        same[f"shared_{j}"] = jax.tree.map(lambda leaf: leaf[split:], experts)
        level |= {"experts": jax.tree.map(lambda leaf: leaf[:split], experts)}
        private = jax.tree.map(lambda leaf: leaf[None], {"level": level})
        same[f"level_{j}"] = {PRIVATE: private}
    shapes = jax.eval_shape(own.init, jax.random.key(0), x, domain)["params"]
    assert jax.tree.map(jnp.shape, same) == jax.tree.map(jnp.shape, shapes)
    got = own.apply({"params": same}, x, domain)
    assert_close(got, whole.apply({"params": params}, x, domain), atol=1e-5)


def test_a_domain_of_its_own_needs_groups_by_domain():
    with pytest.raises(ValueError, match=r"shared_sees = 'own_domain' needs groups ="):
        build(groups="tasks")
    with pytest.raises(ValueError, match="Did you mean 'own_domain'"):
        build(shared_sees="own_domains")


@pytest.mark.parametrize("shared_experts", [0, 1])
def test_groups_of_domains_and_no_shared_experts_train(shared_experts):
    options = {"groups": "domains", "experts_per_task": 2, "num_levels": 2}
    model, x = build(shared_experts=shared_experts, **options), random_array(B, D)
    params = random_params(model, x, DOMAIN)
    loss = lambda p: jnp.sum(model.apply({"params": p}, x, DOMAIN) ** 2)
    moved = jax.tree.map(np.any, jax.jit(jax.grad(loss))(params))
    assert moved["level_0"][PRIVATE]["level"]["experts"]["Dense_0"]["kernel"]
