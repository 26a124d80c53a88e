"""`train.remat`: levels of experts computed again, not kept."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_close, random_array, random_like
from lib.training import tiny

from ple_jax import config, models
from ple_jax.layers.per_domain import by_domain
from ple_jax.train.trainer import step_of

B, T, N, D = 13, 2, 3, 7
X, DOMAIN = random_array(B, D), np.arange(B, dtype=np.int32) % N
SMALL = {"expert_dims": (5,), "tower_dims": (3,)}
CASES = [
    ("ple", {"batch_norm": True, "dropout_rate": 0.3}),
    ("ml_mmoe", {}),
    ("adatt", {}),
    ("ple", {"groups": "tasks_domains", "dropout_rate": 0.3}),
    ("omoe", {}),
]


def build(kind, remat, domains=N, **options):
    options = SMALL | options
    return models.build(kind, num_tasks=T, num_domains=domains, remat=remat, **options)


def results(model, variables, domain):
    """Logits, new statistics, and gradients by parameters and input."""

    def loss(params, x):
        given = variables | {"params": params}
        rngs = {"dropout": jax.random.key(0)}
        mutable = ["batch_stats"]
        out = model.apply(given, x, domain, True, rngs=rngs, mutable=mutable)
        return (out[0] ** 2).sum(), out

    return jax.grad(loss, (0, 1), has_aux=True)(variables["params"], X)


def variables_of(model):
    return random_like(jax.eval_shape(model.init, jax.random.key(0), X, DOMAIN), 0)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_nothing_changes_but_what_is_kept(kind, options):
    plain, again = build(kind, False, **options), build(kind, True, **options)
    variables = variables_of(plain)
    assert jax.tree.map(jnp.shape, variables_of(again)) == jax.tree.map(
        jnp.shape, variables
    )
    of = lambda model: jax.jit(functools.partial(results, model))(variables, DOMAIN)
    assert_close(of(again), of(plain))


def test_trials_of_several_rates_are_one_program():
    def of(remat, rate):
        model = build("ple", remat, dropout_rate=rate)
        return results(model, variables, np.zeros(B, np.int32))

    variables, rates = variables_of(build("ple", True)), jnp.array([0.1, 0.4])
    trials = lambda remat: jax.jit(jax.vmap(functools.partial(of, remat)))(rates)
    assert_close(trials(True), trials(False))


@pytest.mark.parametrize("domains", [1, N])
@pytest.mark.parametrize("on_accelerator", [False, True])
def test_work_by_domain_is_computed_again(domains, on_accelerator):
    """A third of the products of a network's two layers is what forward computes."""
    shared, private = random_array(D, 5), random_array(domains, 5, 3)
    network = lambda shared, own, x, _: jnp.tanh(x @ shared) @ own

    def compiled(remat):
        run = lambda shared, private, x: by_domain(
            network, shared, private, x, (), DOMAIN % domains, on_accelerator, remat
        )
        loss = lambda *floats: (run(*floats) ** 2).sum()
        return jax.jit(jax.grad(loss, (0, 1, 2))).lower(shared, private, X).compile()

    plain, again = compiled(False), compiled(True)
    assert_close(again(shared, private, X), plain(shared, private, X))
    assert again.as_text().count(" dot(") == plain.as_text().count(" dot(") + 1


def test_memory_falls_by_what_levels_keep():
    x, domain = jnp.zeros((512, 31)), jnp.zeros(512, jnp.int32)

    def memory(remat):
        model = build("ple", remat, 1, num_levels=3, expert_dims=(64,))
        params = jax.eval_shape(model.init, jax.random.key(0), x, domain)
        loss = lambda params: (model.apply(params, x, domain) ** 2).sum()
        compiled = jax.jit(jax.grad(loss)).lower(params).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert memory(True) < 0.8 * memory(False)


def test_it_is_a_setting_of_training_for_models_with_gates(data):
    of = lambda kind, remat: step_of(
        tiny(model={"kind": kind}, train={"remat": remat}), data.layout, 1
    )
    assert of("ple", True).model.remat
    assert not of("ple", False).model.remat
    with pytest.raises(ValueError, match="'shared_bottom' has none, so leave it out"):
        of("shared_bottom", True)
    with pytest.raises(ValueError, match="'remat' is not a known knob of model 'ple'"):
        config.from_dict({"model": {"kind": "ple", "remat": True}})
