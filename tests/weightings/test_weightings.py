"""Each weighting by hand, and the contract that all of them keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ple_jax import weightings
from ple_jax.weightings import Now

T = 3
KINDS = {kind: weightings.build(kind) for kind in weightings.available()}
ON_LOSSES = [kind for kind, made in KINDS.items() if made.weigh is None]


def now_of(*seen, step=7, epoch=2):
    key = jax.random.key(0)
    return Now(jnp.int32(step), jnp.int32(epoch), key, jnp.array(seen))


def test_fixed_weights_weigh():
    weighting = weightings.build("fixed", weights=(1.0, 2.0, 0.5))
    params, memory = weighting.init(3)
    loss, _ = weighting.combine(
        params, memory, jnp.array([3.0, 5.0, 7.0]), now_of(True, True, True)
    )
    assert loss == 3 + 10 + 3.5


@pytest.mark.parametrize(("clock", "t"), [("epoch", 2), ("step", 7)])
def test_scheduled_weights_follow_equation_10(clock, t):
    weighting = weightings.build(
        "schedule", weights=(1.0, 2.0), ratios=(0.9, 1.1), clock=clock
    )
    params, memory = weighting.init(2)
    loss, _ = weighting.combine(
        params, memory, jnp.array([3.0, 5.0]), now_of(True, True, True)
    )
    np.testing.assert_allclose(loss, 0.9**t * 3 + 2 * 1.1**t * 5, rtol=1e-6)


def stepped(weighting, params, memory, losses, gram, now):
    """What the weighting gives in a step, its memory after it."""
    if weighting.weigh is None:
        found, memory = weighting.combine(params, memory, losses, now)
    else:
        found, memory = weighting.weigh(memory, losses, gram, now)
    if weighting.look_back is not None:
        memory = weighting.look_back(memory, 0.9 * losses, now)
    return memory, found


@pytest.mark.parametrize("kind", weightings.available())
@pytest.mark.parametrize("num_tasks", [1, 2, T])
def test_a_weighting_keeps_its_types_from_step_to_step(kind, num_tasks):
    """Whatever the batch lacks: labels of one task, of all tasks, or gradients."""
    weighting = weightings.build(kind)
    params, memory = weighting.init(num_tasks)
    leaves = jax.tree.leaves((params, memory))
    assert not any(jax.typeof(leaf).weak_type for leaf in leaves)
    grads = np.random.default_rng(0).normal(size=(num_tasks, 7))
    gram = jnp.asarray(grads @ grads.T, jnp.float32)

    def step(memory, case):
        seen, size = case
        losses, slopes = (
            seen * jnp.float32(0.5),
            size * gram * seen[:, None] * seen[None],
        )
        now = now_of(*[True] * num_tasks)._replace(seen=seen)
        return stepped(weighting, params, memory, losses, slopes, now)

    seen = np.ones((5, num_tasks), bool)
    seen[1, 0] = seen[2] = False
    sizes = jnp.array([1.0, 1.0, 1.0, 0.0, 1e-9])
    after, found = jax.lax.scan(step, memory, (jnp.asarray(seen), sizes))
    assert jax.tree.map(jax.typeof, after) == jax.tree.map(jax.typeof, memory)
    assert found.shape == ((5,) if weighting.weigh is None else (5, num_tasks))
    assert found.dtype == jnp.float32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, found)))


@pytest.mark.parametrize("kind", ON_LOSSES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_combined_loss_has_finite_gradients(kind, value):
    """A task without labels has a loss of 0; nothing learns from it."""
    weighting = weightings.build(kind)
    params, memory = weighting.init(T)
    now = now_of(True, False, True)
    loss = lambda params, each: weighting.combine(params, memory, each, now)[0]
    of_params, slopes = jax.grad(loss, argnums=(0, 1))(params, jnp.full(T, value))
    assert all(np.isfinite(g).all() for g in jax.tree.leaves((of_params, slopes)))
    assert not any(leaf[1] for leaf in jax.tree.leaves(of_params))
    assert value == 0 or (np.asarray(slopes)[[0, 2]] > 0).all()


@pytest.mark.parametrize("kind", ["fixed", "schedule"])
def test_without_options_the_loss_is_the_sum(kind):
    weighting = weightings.build(kind)
    loss, _ = weighting.combine(
        *weighting.init(T), jnp.arange(3.0), now_of(True, True, True)
    )
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
    loss, _ = weighting.combine(
        *weighting.init(2), jnp.array([3.0, 5.0]), now_of(True, True, True)
    )
    assert loss == 10
