"""Predictions from logits, and chances of tasks and all that they are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.arrays import random_array

from ple_jax import links, losses
from ple_jax.layout import Layout, Scale
from ple_jax.tasks import Task

LEVELS, CUTS = (1.0, 2.0, 5.0), (-1.0, 0.5)
NUMBERS = {
    Task("share"): Scale(),
    Task("time", loss="huber", delta=2.0): Scale(7.0, 3.0),
    Task("visits", loss="poisson"): Scale(0.0, 4.0),
    Task("stars", loss="ordinal", levels=LEVELS): Scale(thresholds=CUTS),
    Task("watch", loss="weighted_logistic"): Scale(0.0, 11.0),
}
CHAIN = (
    Task("click"),
    Task("cart", given="click"),
    Task("buy", given="cart", entire_space=True),
    Task("time", given="click", loss="squared"),
    Task("like", given="click", entire_space=True),
)
sigmoid = lambda z: 1 / (1 + np.exp(-np.float64(z)))
logits = st.floats(-300, 300, width=32)


def test_predictions_are_in_the_units_of_labels():
    layout = Layout((), (), (), tuple(NUMBERS), ("all",), tuple(NUMBERS.values()))
    z = 2 * random_array(7, len(NUMBERS))
    found = np.asarray(links.predicted(jnp.asarray(z), layout)).T
    above = sigmoid(z[:, 3, None] - np.array(CUTS))
    chances = -np.diff(np.c_[np.ones(7), above, np.zeros(7)], axis=1)
    wanted = [z[:, 0], 7 + 3 * z[:, 1], 4 * np.exp(z[:, 2])]
    wanted += [chances @ np.array(LEVELS), 11 * np.exp(z[:, 4])]
    np.testing.assert_allclose(found, wanted, rtol=2e-5)


@pytest.mark.parametrize("logit", [200.0, -200.0, 1e30, -1e30])
def test_predictions_are_finite_at_any_logit(logit):
    focal = Task("click", loss="focal", positive_weight=3.0)
    tasks = (*NUMBERS, focal)
    layout = Layout((), (), (), tasks, ("all",), (*NUMBERS.values(), Scale()))
    z = jnp.full((1, len(tasks)), logit, jnp.float32)
    assert np.isfinite(links.predicted(z, layout)).all()


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-25, 25, width=32), st.sampled_from([0.0, 0.5, 2.0, 5.0]), st.booleans()
)
def test_a_corrected_logit_is_of_the_chance_whose_loss_is_least(z, gamma, is_weighted):
    weight = 3.0 if is_weighted else 1.0
    task = Task("t", loss="focal", gamma=gamma, positive_weight=weight)
    with jax.enable_x64(True):
        of = lambda y: jax.grad(
            lambda z: losses.example_losses(z[None, None], jnp.full((1, 1), y), [task])[
                0, 0
            ]
        )(jnp.float64(z))
        one, zero = float(of(1.0)), float(of(0.0))
        logit = float(links.corrected(jnp.float64(z), task))
    # p one + (1 - p) zero = 0, in logits so that no tail is lost
    assert logit == pytest.approx(np.log(zero) - np.log(-one), rel=1e-6, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(logits, logits, logits)
def test_the_chance_of_both_is_a_product_that_nests(a, b, c):
    both = lambda *z: links.both(*map(np.float64, z))
    exact = lambda z: -np.logaddexp(0, -np.float64(z))  # log s(z)
    assert exact(both(a, b)) == pytest.approx(exact(a) + exact(b), rel=1e-9, abs=1e-12)
    assert both(both(a, b), c) == pytest.approx(both(a, both(b, c)), rel=1e-9)
    assert both(a, b) <= min(a, b) + 1e-9


@pytest.mark.parametrize("a", [0.0, 200.0, -200.0])
@pytest.mark.parametrize("b", [0.0, 200.0, -200.0])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_losses_of_both_and_their_slopes_are_exact_at_any_logits(a, b, label):
    loss = lambda z: losses.binary_cross_entropy(links.both(z[0], z[1]), label)
    z = jnp.array([a, b], jnp.float32)
    one = np.logaddexp(0, -a) + np.logaddexp(0, -b)  # -log of the chance of both
    # 1 - s(a) s(b) = (e^-a + e^-b + e^(-a-b)) s(a) s(b)
    zero = -(np.logaddexp.reduce([-a, -b, -a - b]) - one)
    assert float(loss(z)) == pytest.approx(one if label else zero, rel=1e-6, abs=1e-30)
    slopes = np.asarray(jax.grad(loss)(z))
    assert np.isfinite(slopes).all()
    wanted = [-np.exp(-np.logaddexp(0, x)) for x in (a, b)]
    if label:
        np.testing.assert_allclose(slopes, wanted, rtol=1e-5, atol=1e-30)
    else:  # p / (1 - p) of each one's chance of being the reason
        odds = np.exp(-one + zero)
        np.testing.assert_allclose(
            slopes, [-odds * x for x in wanted], rtol=1e-5, atol=1e-30
        )


def rows(count=31):
    """Logits, labels and observed of a chain, some labels missing, in sample spaces."""
    rng = np.random.default_rng(0)
    z = np.float32(2 * rng.normal(size=(count, len(CHAIN))))
    y = np.float32(rng.integers(0, 2, z.shape))
    seen = rng.random(z.shape) < 0.8
    for t, task in enumerate(CHAIN):
        if task.given:
            above = [one.name for one in CHAIN].index(task.given)
            seen[:, t] &= seen[:, above] & (y[:, above] == 1)
    return z, np.where(seen, y, 0), seen


def truth(z, y, seen, t):
    """Chance, label and whether it is known of a task and all above it, by hand."""
    above = [0, 1, 2] if t == 2 else [0, 4]
    chance = np.prod([sigmoid(z[u]) for u in above])
    for u in above:
        if not seen[u]:
            return chance, 0, False
        if y[u] == 0:
            return chance, 0, True
    return chance, 1, True


@pytest.mark.parametrize("module", [np, jnp])
def test_the_entire_space_has_a_label_wherever_the_chain_is_known(module):
    z, y, seen = rows()
    found = links.entire_space(*map(module.asarray, (z, y, seen)), CHAIN)
    for t in (2, 4):
        wanted = [truth(z[i], y[i], seen[i], t) for i in range(len(z))]
        chances, labels, known = map(np.array, zip(*wanted, strict=True))
        np.testing.assert_allclose(sigmoid(found.logits[:, t]), chances, rtol=1e-5)
        np.testing.assert_array_equal(found.labels[:, t], labels)
        np.testing.assert_array_equal(found.observed[:, t], known)
        assert known.sum() > seen[:, t].sum()
    for t in (0, 1, 3):
        for new, old in zip(found, (z, y, seen), strict=True):
            np.testing.assert_array_equal(new[:, t], old[:, t])


def test_the_loss_is_the_mean_cross_entropy_of_the_chance_of_all():
    z, y, seen = rows()
    weights = np.float32(np.random.default_rng(1).random(len(z)))
    found = links.entire_space(jnp.asarray(z), y, seen, CHAIN)
    got = losses.task_losses(*found, weights, CHAIN)
    for t in (2, 4):
        total = count = 0.0
        for i in range(len(z)):
            chance, label, known = truth(z[i], y[i], seen[i], t)
            if known:
                total -= weights[i] * np.log(chance if label else 1 - chance)
                count += weights[i]
        np.testing.assert_allclose(got[t], total / count, rtol=1e-5)


def test_nothing_changes_without_such_a_task():
    z, y, seen = rows()
    found = links.entire_space(z, y, seen, CHAIN[:2])
    assert found.logits is z
    assert found.labels is y
    assert found.observed is seen


def test_the_chance_above_is_corrected_in_training_alone():
    tasks = (
        Task("click", positive_weight=4.0),
        Task("buy", given="click", entire_space=True),
    )
    z = jnp.array([[1.0, -0.5]])
    ones = jnp.ones((1, 2))
    learned = links.entire_space(z, ones, ones > 0, tasks).logits[0, 1]
    assert float(learned) == pytest.approx(links.both(1 - np.log(4), -0.5))
    told = links.entire_space(z, ones, ones > 0, tasks, is_learned=False)
    assert float(told.logits[0, 1]) == pytest.approx(links.both(1.0, -0.5))
