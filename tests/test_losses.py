"""Losses against a loop, and their gradients against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_gradient, random_array

from ple_jax import losses
from ple_jax.schema import Task

TASKS = (Task("click"), Task("time", loss="squared"), Task("buy"))
B, T = 11, 3


def arrays():
    rng = np.random.default_rng(0)
    logits = 3 * random_array(B, T)
    labels = np.float32(rng.integers(0, 2, (B, T)))
    observed = rng.random((B, T)) < 0.6
    return logits, labels, observed, np.float32(rng.random(B))


def test_each_task_averages_over_its_own_sample_space():
    logits, labels, observed, weights = arrays()
    got = losses.task_losses(logits, labels, observed, weights, TASKS)
    for t in range(T):
        total, count = 0.0, 0.0
        for i in range(B):
            if observed[i, t]:
                z, y = np.float64(logits[i, t]), labels[i, t]
                p = 1 / (1 + np.exp(-z))
                cross = -y * np.log(p) - (1 - y) * np.log(1 - p)
                total += weights[i] * ((z - y) ** 2 if t == 1 else cross)
                count += weights[i]
        np.testing.assert_allclose(got[t], total / count, rtol=1e-5)


def test_another_total_divides_the_same_sum():
    logits, labels, observed, weights = arrays()
    observed[:, 1] = False
    totals = np.float32([2, 3, 5])
    found = losses.task_losses(logits, labels, observed, weights, TASKS, totals)
    own = losses.task_losses(logits, labels, observed, weights, TASKS)
    batch = (observed * weights[:, None]).sum(axis=0)
    np.testing.assert_allclose(found, own * batch / totals, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_weights_count_by_their_ratios(scale):
    logits, labels, observed, weights = arrays()
    wanted = losses.task_losses(logits, labels, observed, weights, TASKS)
    got = losses.task_losses(logits, labels, observed, scale * weights, TASKS)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_a_batch_without_a_tasks_examples_gives_zero_and_no_gradient():
    logits, labels, observed, weights = arrays()
    observed[:, 1] = False
    loss = lambda z: losses.task_losses(z, labels, observed, weights, TASKS)
    assert loss(logits)[1] == 0
    grads = jax.grad(lambda z: loss(z).sum())(logits)
    assert np.isfinite(grads).all()
    assert not np.asarray(grads)[:, 1].any()
    assert np.asarray(grads)[observed].all()


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_gradients_stay_finite_for_huge_logits(size):
    logits = jnp.array([[size, size, -size]] * 2, jnp.float32)
    labels = jnp.array([[0, 0, 1], [1, 1, 0]], jnp.float32)
    ones = np.ones((2, T), bool)
    tasks = (Task("a"), Task("b"), Task("c"))
    loss = lambda z: losses.task_losses(z, labels, ones, jnp.ones(2), tasks).sum()
    assert np.isfinite(loss(logits))
    assert np.isfinite(jax.grad(loss)(logits)).all()


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("logit", [1e4, -1e4, 30, -104, 5e-8, 0])
def test_cross_entropy_and_its_slope_are_exact_at_any_logit(logit, label):
    wrong = logit if label == 0 else -logit  # the logit of the other label
    got = losses.binary_cross_entropy(jnp.float32(logit), jnp.float32(label))
    # exp(-104) is below the smallest float32, 1.4e-45.
    np.testing.assert_allclose(got, np.logaddexp(0, wrong), rtol=1e-7, atol=1e-45)
    slope = jax.grad(losses.binary_cross_entropy)(float(logit), jnp.float32(label))
    wanted = np.exp(-np.logaddexp(0, -wrong)) * (1 - 2 * label)
    np.testing.assert_allclose(slope, wanted, rtol=1e-6, atol=1e-45)


def test_gradients_match_finite_differences():
    logits, labels, observed, weights = arrays()
    logits[:2] = 0  # a tower without a live unit, and with biases of 0
    observed[:2] = True
    labels[:2] = [[0], [1]]
    loss = lambda z: losses.task_losses(
        z, np.float64(labels), observed, weights, TASKS
    ).sum()
    assert_gradient(loss, loss, logits, rtol=1e-7)
