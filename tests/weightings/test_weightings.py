"""Each weighting by hand, and the contract that all of them keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ple_jax import weightings
from ple_jax.weightings import Clock

T = 3
NOW = Clock(jnp.int32(7), jnp.int32(2))


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
@pytest.mark.parametrize("num_tasks", [1, T])
def test_a_weighting_keeps_its_types_from_step_to_step(kind, num_tasks):
    weighting = weightings.build(kind)
    params, memory = weighting.init(num_tasks)
    leaves = jax.tree.leaves((params, memory))
    assert not any(jax.typeof(leaf).weak_type for leaf in leaves)

    def step(memory, values):
        loss, memory = weighting.combine(params, memory, values, NOW)
        return memory, loss

    after, losses = jax.lax.scan(step, memory, jnp.ones((5, num_tasks)))
    assert jax.tree.map(jax.typeof, after) == jax.tree.map(jax.typeof, memory)
    assert losses.shape == (5,)
    assert losses.dtype == jnp.float32
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("kind", weightings.available())
def test_a_combined_loss_has_finite_gradients(kind):
    weighting = weightings.build(kind)
    params, memory = weighting.init(T)
    loss = lambda params, each: weighting.combine(params, memory, each, NOW)[0]
    for each in (jnp.ones(T), jnp.zeros(T)):
        grads = jax.grad(loss, argnums=(0, 1))(params, each)
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("kind", ["fixed", "schedule"])
def test_without_options_the_loss_is_the_sum(kind):
    weighting = weightings.build(kind)
    loss, _ = weighting.combine(*weighting.init(T), jnp.arange(3.0), NOW)
    assert loss == 3


def test_mistakes_are_explained():
    with pytest.raises(ValueError, match="Did you mean 'schedule'"):
        weightings.build("schedul")
    with pytest.raises(ValueError, match="Did you mean 'weights'"):
        weightings.build("fixed", weight=(1.0,))
    with pytest.raises(ValueError, match="one value for each of the 3 tasks"):
        weightings.build("fixed", weights=(1.0, 2.0)).init(3)
    with pytest.raises(ValueError, match=r"weighting\.ratios needs one value"):
        weightings.build("schedule", ratios=(1.0,)).init(2)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "fixed",
            {"weights": (1.0, -2.0)},
            r"weighting\.weights\[1\] must be at least 0",
        ),
        ("fixed", {"weights": (float("nan"),)}, r"weights\[0\] .* got nan"),
        (
            "fixed",
            {"weights": (0.0, 0.0)},
            r"weighting\.weights must have a value above",
        ),
        ("schedule", {"weights": (-1.0,)}, r"weighting\.weights\[0\]"),
        ("schedule", {"ratios": (1.0, -0.5)}, r"weighting\.ratios\[1\]"),
        ("schedule", {"ratios": (0.0, 0.0)}, r"weighting\.ratios must have"),
    ],
)
def test_weights_that_train_nothing_or_away_from_the_labels_are_refused(
    kind, options, message
):
    with pytest.raises(ValueError, match=message):
        weightings.build(kind, **options)


def test_a_weight_of_zero_leaves_one_task_out():
    weighting = weightings.build("fixed", weights=(0.0, 2.0))
    loss, _ = weighting.combine(*weighting.init(2), jnp.array([3.0, 5.0]), NOW)
    assert loss == 10
