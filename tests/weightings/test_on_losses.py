"""Weightings of losses against NumPy loops written from the papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ple_jax import weightings
from ple_jax.weightings import Now

LOSSES = np.float32([0.7, 0.2, 1.9])
ALL = (True, True, True)


def now_of(seen=ALL, step=0, epoch=0):
    key = jax.random.fold_in(jax.random.key(4), step)
    return Now(jnp.int32(step), jnp.int32(epoch), key, jnp.array(seen))


def weights_of(weighting, memory, losses, now, params=()):
    """dL / dL_k: what each task's gradient is multiplied by."""
    loss = lambda each: weighting.combine(params, memory, each, now)[0]
    return np.asarray(jax.grad(loss)(jnp.asarray(losses)))


def test_uncertainty_is_kendalls_likelihood():
    weighting = weightings.build("uncertainty", log_variance=0.4)
    params, memory = weighting.init(3)
    np.testing.assert_allclose(params["log_variance"], 0.4)
    s = np.float32([0.3, -0.8, 1.1])
    for seen in (ALL, (True, False, True)):
        got = weighting.combine({"log_variance": s}, memory, LOSSES, now_of(seen))[0]
        wanted = sum(
            loss / np.exp(each) + np.log(np.exp(each)) / 2
            for loss, each, one in zip(LOSSES, s, seen, strict=True)
            if one
        )
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_imtl_l_rests_where_every_scaled_loss_is_one():
    weighting = weightings.build("imtl_l")
    params, memory = weighting.init(3)
    loss = lambda s: weighting.combine({"log_scale": s}, memory, LOSSES, now_of())[0]
    np.testing.assert_allclose(loss(params["log_scale"]), LOSSES.sum(), rtol=1e-6)
    slope = jax.grad(loss)(params["log_scale"])
    np.testing.assert_allclose(slope, LOSSES - 1, rtol=1e-5)
    at_rest = jnp.log(1 / LOSSES)
    np.testing.assert_allclose(jax.grad(loss)(at_rest), np.zeros(3), atol=1e-6)


def test_dwa_weighs_by_the_pace_of_two_epochs():
    """Three epochs of two steps; the second task is missing in one of them."""
    weighting = weightings.build("dwa", temperature=1.3)
    memory = weighting.init(3)[1]
    losses = np.random.default_rng(0).uniform(0.1, 2, (6, 3)).astype(np.float32)
    seen = np.ones((6, 3), bool)
    seen[3, 1] = losses[3, 1] = 0
    for step in range(6):
        now = now_of(seen[step], step, step // 2)
        weights = weights_of(weighting, memory, losses[step], now)
        memory = weighting.combine((), memory, losses[step], now)[1]
        if step < 4:
            np.testing.assert_allclose(weights, 1, rtol=1e-6)
    first = losses[:2].mean(axis=0)
    second = losses[2:4].sum(axis=0) / seen[2:4].sum(axis=0)
    ratio = np.exp(second / first / 1.3)
    np.testing.assert_allclose(weights, 3 * ratio / ratio.sum(), rtol=1e-5)


@pytest.mark.parametrize("distribution", ["normal", "dirichlet"])
def test_random_weights_differ_by_step_and_add_up(distribution):
    weighting = weightings.build("rlw", distribution=distribution)
    seen = (True, False, True)
    draw = lambda step, seen: weights_of(weighting, (), LOSSES, now_of(seen, step))
    drawn = np.array([draw(step, ALL) for step in range(300)])
    np.testing.assert_allclose(drawn.sum(axis=1), 3, rtol=1e-5)
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.15)
    assert (drawn > 0).all()
    np.testing.assert_array_equal(draw(5, ALL), drawn[5])
    np.testing.assert_allclose(draw(5, seen).sum(), 2, rtol=1e-5)
    assert draw(5, seen)[1] == 0
    key = now_of(step=5).key
    if distribution == "normal":
        z = np.exp(np.asarray(jax.random.normal(key, (3,))))
        np.testing.assert_allclose(drawn[5], 3 * z / z.sum(), rtol=1e-5)
    else:  # uniform on the simplex: the variance of each weight is 3^2 / 18
        np.testing.assert_allclose(drawn.var(axis=0), 0.5, atol=0.1)


def softmax(x, seen):
    e = np.where(seen, np.exp(x), 0)
    return e / e.sum()


def test_famo_is_algorithm_1():
    """Steps of Adam by hand; in the second step the second task has no labels."""
    rate, decay = 0.05, 0.02
    weighting = weightings.build("famo", learning_rate=rate, decay=decay)
    memory = weighting.init(3)[1]
    rng, x, mean, square = np.random.default_rng(1), np.zeros(3), 0.0, 0.0
    for step in range(4):
        seen = np.array([True, step != 1, True])
        losses = rng.uniform(0.1, 2, 3) * seen
        after = losses * rng.uniform(0.5, 1.1, 3)
        now = now_of(seen, step)
        z = softmax(x, seen)
        slopes = np.array([z[k] / losses[k] if seen[k] else 0 for k in range(3)])
        got = weights_of(weighting, memory, losses.astype(np.float32), now)
        np.testing.assert_allclose(got, slopes / slopes.sum(), rtol=2e-4)
        memory = weighting.combine((), memory, jnp.float32(losses), now)[1]
        memory = weighting.look_back(memory, jnp.float32(after), now)
        fallen = np.zeros(3)
        fallen[seen] = np.log(losses[seen]) - np.log(after[seen])
        jacobian = np.diag(z) - np.outer(z, z)
        slope = jacobian @ fallen + decay * x
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        unbiased = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
        x = x - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        np.testing.assert_allclose(memory["logits"], x, rtol=2e-3, atol=1e-5)


def test_losses_below_zero_do_not_harm_famo():
    """Those of counts may be, and their logarithm has no value."""
    weighting = weightings.build("famo")
    memory, losses = weighting.init(3)[1], jnp.float32([-0.5, 0.2, 1.9])
    assert np.isfinite(weights_of(weighting, memory, losses, now_of())).all()
    memory = weighting.combine((), memory, losses, now_of())[1]
    memory = weighting.look_back(memory, losses, now_of())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(memory))
