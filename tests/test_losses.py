"""Losses, and how weightings join them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_array

from ple_jax import losses, registry, weightings
from ple_jax.schema import Task
from ple_jax.weightings import Clock

TASKS = (Task("click"), Task("time", loss="squared"), Task("buy"))
B, T = 11, 3
NOW = Clock(jnp.int32(7), jnp.int32(2))


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


def test_gradients_match_finite_differences():
    logits, labels, observed, weights = arrays()
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.float64(a)) for a in (logits, labels)]
        loss = lambda z: losses.task_losses(z, wide[1], observed, weights, TASKS).sum()
        grads = jax.grad(loss)(wide[0])
        d = np.random.default_rng(1).normal(size=(B, T))
        want = (loss(wide[0] + 1e-6 * d) - loss(wide[0] - 1e-6 * d)) / 2e-6
        np.testing.assert_allclose((grads * d).sum(), want, rtol=1e-7)


def test_fixed_weights_weigh():
    weighting = weightings.build("fixed", weights=(1.0, 2.0, 0.5))
    params, memory = weighting.init(3)
    loss, _ = weighting.combine(params, memory, jnp.array([3.0, 5.0, 7.0]), NOW)
    assert loss == 3 + 10 + 3.5


@pytest.mark.parametrize(("clock", "t"), [("epoch", 2), ("step", 7)])
def test_scheduled_weights_follow_equation_10(clock, t):
    weighting = weightings.build(
        "schedule", weights=(1.0, 2.0), ratios=(0.9, 1.1), clock=clock
    )
    params, memory = weighting.init(2)
    loss, _ = weighting.combine(params, memory, jnp.array([3.0, 5.0]), NOW)
    np.testing.assert_allclose(loss, 0.9**t * 3 + 2 * 1.1**t * 5, rtol=1e-6)


@pytest.mark.parametrize("kind", weightings.available())
def test_a_weighting_keeps_its_types_from_step_to_step(kind):
    weighting = weightings.build(kind)
    params, memory = weighting.init(T)

    def step(memory, values):
        loss, memory = weighting.combine(params, memory, values, NOW)
        return memory, loss

    memory, total = jax.lax.scan(step, memory, jnp.ones((5, T)))
    np.testing.assert_allclose(total, T)


def test_mistakes_are_explained():
    with pytest.raises(ValueError, match="Did you mean 'schedule'"):
        weightings.build("schedul")
    with pytest.raises(ValueError, match="Did you mean 'weights'"):
        weightings.build("fixed", weight=(1.0,))
    with pytest.raises(ValueError, match="one value for each of the 3 tasks"):
        weightings.build("fixed", weights=(1.0, 2.0)).init(3)


def test_options_and_their_help_are_read_from_the_code():
    def build(first: int, second: tuple[int, ...] = (1,)):
        """Something.

        Args:
            first: One
                or another.
            second: Two: three.

        Reference: nobody.
        """

    options = registry.options_of(build)
    assert options["first"][:1] + options["first"][2:] == (int, True, "One or another.")
    assert options["second"] == (tuple[int, ...], (1,), False, "Two: three.")
