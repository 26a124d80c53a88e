"""Batch normalisation's moving statistics against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import random_array

from ple_jax.layers.batch_last import BATCH_FIRST, BATCH_LAST
from ple_jax.layers.experts import MLP
from ple_jax.layers.norms import BatchNorm, PartitionedNorm, kept_share
from ple_jax.layers.star import StarNetwork

B, H = 11, 3


def batch(turn):
    return random_array(B, H, seed=turn) * (turn + 1) + turn


def after(turns, axis, window):
    """The moving mean and variance after some batches."""
    module = BatchNorm(window, axis)
    laid = lambda x: x if axis is BATCH_FIRST else x.T
    variables = module.init(jax.random.key(0), laid(batch(0)))
    for turn in range(turns):
        given = laid(batch(turn))
        out, moved = module.apply(variables, given, True, mutable=["batch_stats"])
        variables = variables | moved
    scored = module.apply(variables, given)
    return variables["batch_stats"], laid(out), laid(scored)


@pytest.mark.parametrize("axis", [BATCH_FIRST, BATCH_LAST])
@pytest.mark.parametrize("window", [0.1, 0.5])
def test_moving_statistics_follow_their_formula(axis, window):
    mean, var = np.zeros(H), np.ones(H)
    for turn in range(3):
        keep = turn / (turn + 1 / window)
        x = np.float64(batch(turn))
        mean = keep * mean + (1 - keep) * x.mean(0)
        var = keep * var + (1 - keep) * x.var(0)
    kept, out, scored = after(3, axis, window)
    assert kept["batches"] == 3
    np.testing.assert_allclose(kept["norm"]["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(kept["norm"]["var"], var, rtol=1e-4)
    np.testing.assert_allclose(
        scored, (batch(2) - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5
    )
    wanted = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-5)


def test_after_one_step_scores_are_normalised_as_the_batch_was():
    _, out, scored = after(1, BATCH_FIRST, 0.1)
    np.testing.assert_allclose(scored, out, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [0.0, 0.1, 0.5])
def test_the_momentum_is_reached_and_the_first_batch_sets_all(window):
    keep = [float(kept_share(np.float32(n), 0.9, window)) for n in range(200)]
    assert keep[0] == 0
    assert keep == sorted(keep)
    assert keep[-1] == pytest.approx(0.9)


def test_gradients_are_finite_where_a_domain_has_no_variance():
    """A constant column, a lone example, and a domain that is absent."""
    x = random_array(B, H)
    x[:, 1] = 3
    domain = np.int32([0] * (B - 1) + [1])
    module = PartitionedNorm(3)
    variables = module.init(jax.random.key(0), x, domain)

    def loss(params, x):
        given = variables | {"params": params}
        out, _ = module.apply(given, x, domain, True, mutable=["batch_stats"])
        return (out**3).sum()

    of_params, of_x = jax.grad(loss, (0, 1))(variables["params"], x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(of_params))
    assert np.isfinite(of_x).all()
    assert not of_params["private"]["scale"][2].any()  # the absent one


def test_a_row_that_is_not_finite_stays_in_its_domain():
    x, domain = random_array(B, H), np.arange(B) % 3
    module = PartitionedNorm(3)
    variables = module.init(jax.random.key(0), x, domain)
    run = lambda x: module.apply(variables, x, domain, True, mutable=["batch_stats"])
    poisoned = x.copy()
    poisoned[1] = np.nan
    (want, _), (got, moved) = run(x), run(poisoned)
    np.testing.assert_array_equal(got[domain != 1], want[domain != 1])
    kept = moved["batch_stats"]["private"]["mean"]
    assert np.isfinite(kept).all(axis=1).tolist() == [True, False, True]


@pytest.mark.parametrize("module", [MLP((H,)), StarNetwork(1, (H, 1))])
def test_a_unit_that_is_exactly_zero_passes_no_gradient(module):
    """As in an MLP of zeros: the slope of ReLU is 0 there, not 1 or 1/2."""
    x = random_array(B, H)
    given = (x, jnp.zeros(B, int)) if isinstance(module, StarNetwork) else (x,)
    variables = jax.tree.map(jnp.zeros_like, module.init(jax.random.key(0), *given))
    if isinstance(module, StarNetwork):
        last = variables["params"]["shared"]["layer_1"]
        last["kernel"] = jnp.ones_like(last["kernel"])
        factor = variables["params"]["private"]["layer_1"]
        factor["factor"] = jnp.ones_like(factor["factor"])
    grads = jax.grad(lambda v: module.apply(v, *given).sum())(variables)["params"]
    first = grads.get("Dense_0") or grads["shared"]["layer_0"]
    assert not any(leaf.any() for leaf in jax.tree.leaves(first))
