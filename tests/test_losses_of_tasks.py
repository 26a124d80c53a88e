"""Each loss of a task against SciPy, scikit-learn or its definition, at any logit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.arrays import assert_gradient
from scipy import special, stats
from sklearn import linear_model
from sklearn import metrics as sk

from ple_jax import losses
from ple_jax.layout import Scale
from ple_jax.tasks import LOSSES, Task

LEVELS, CUTS = (1.0, 2.0, 3.5, 5.0), (-1.5, 0.25, 2.0)
SCALES = {
    "huber": Scale(0.0, 2.5),
    "quantile": Scale(3.0, 2.5),
    "poisson": Scale(0.0, 4.0),
    "ordinal": Scale(thresholds=CUTS),
}
OPTIONS = {
    "binary": {"smoothing": 0.1, "positive_weight": 3.0},
    "focal": {"gamma": 1.5, "smoothing": 0.1, "positive_weight": 3.0},
    "huber": {"delta": 2.0},
    "quantile": {"quantile": 0.8},
    "ordinal": {"levels": LEVELS},
}
TASKS = [Task(loss, loss=loss, **OPTIONS.get(loss, {})) for loss in LOSSES]
NAMES = [task.name for task in TASKS]
B, T = 13, len(TASKS)
PLAIN = Scale()


def scales():
    return [SCALES.get(task.loss, Scale()) for task in TASKS]


def labels(rng, rows=B):
    """Of each task, as `Layout.standardised` gives them."""
    amounts = rng.poisson(1.3, rows) / 4.0
    of = {
        "probability": lambda: rng.integers(0, 2, rows),
        "identity": lambda: rng.normal(size=rows),
        "log": lambda: amounts,
        "levels": lambda: rng.choice(LEVELS, rows),
    }
    return np.stack([of[task.kind.link]() for task in TASKS], 1).astype(np.float32)


def binary(z, y, gamma=0.0, smoothing=0.1, weight=3.0):
    p = 1 / (1 + np.exp(-z))
    y = (1 - smoothing) * y + smoothing / 2
    positive, negative = (1 - p) ** gamma * np.log(p), p**gamma * np.log(1 - p)
    return -weight * y * positive - (1 - y) * negative


def proportional_odds(z, y):
    above = [1.0, *(1 / (1 + np.exp(c - z)) for c in CUTS), 0.0]
    level = LEVELS.index(y)
    return -np.log(above[level] - above[level + 1])


ORACLES = {
    "binary": binary,
    "focal": lambda z, y: binary(z, y, gamma=1.5),
    "squared": lambda z, y: (z - y) ** 2,
    "huber": lambda z, y: special.huber(2.0 / 2.5, z - y),
    "quantile": lambda z, y: sk.mean_pinball_loss([y], [z], alpha=0.8),
    # up to what no logit moves; labels are counts of 4 units
    "poisson": lambda z, y: (
        -stats.poisson.logpmf(round(4 * y), 4 * np.exp(z)) / 4
        + y * np.log(4)
        - special.gammaln(4 * y + 1) / 4
    ),
    "ordinal": proportional_odds,
    "weighted_logistic": lambda z, y: (
        y * np.log1p(np.exp(-z)) + (y == 0) * np.log1p(np.exp(z))
    ),
}


def test_losses_are_those_of_their_definitions():
    rng = np.random.default_rng(0)
    z, y = np.float32(2 * rng.normal(size=(B, T))), labels(rng)
    found = losses.example_losses(z, y, TASKS, scales())
    for t, name in enumerate(NAMES):
        wanted = [ORACLES[name](float(z[i, t]), float(y[i, t])) for i in range(B)]
        np.testing.assert_allclose(found[:, t], wanted, rtol=3e-5, err_msg=name)


def test_slopes_match_finite_differences():
    rng = np.random.default_rng(1)
    z, y = np.float32(2 * rng.normal(size=(B, T))), np.float64(labels(rng))
    z[0] = 0
    y[0, NAMES.index("huber")] = y[0, NAMES.index("quantile")] = 1
    loss = lambda z: losses.example_losses(z, y, TASKS, scales()).sum()
    assert_gradient(loss, loss, z, rtol=1e-6)


@pytest.mark.parametrize("logit", [0.0, 200.0, -200.0, 1e4, 1e18, -1e18])
def test_losses_and_slopes_are_finite_at_any_logit(logit):
    y = labels(np.random.default_rng(2), 31)
    z = jnp.full((31, T), logit, jnp.float32)
    of = lambda z: losses.example_losses(z, y, TASKS, scales())
    each, slopes = of(z), jax.grad(lambda z: of(z).sum())(z)
    assert np.isfinite(each).all()
    assert np.isfinite(slopes).all()
    # an example that is wrong by far is pulled back, whatever its loss
    far = np.asarray(slopes) * np.sign(logit)
    assert (far[:, NAMES.index("squared")] >= 0).all()
    if logit:
        assert (far.max(axis=0) > 0).all()
        assert far.max() < np.inf


def test_where_a_prediction_meets_its_label_a_slope_is_in_the_middle():
    at = lambda name, y: jax.grad(
        lambda z: losses.example_losses(
            jnp.full((1, T), z), jnp.full((1, T), y), TASKS, scales()
        )[0, NAMES.index(name)]
    )(y)
    assert at("huber", 0.5) == 0
    assert at("quantile", 0.5) == pytest.approx(0.5 - 0.8)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-50, 50, width=32), st.sampled_from(LEVELS), st.floats(0.125, 9, width=32)
)
def test_chances_of_all_levels_add_up_to_one(logit, level, apart):
    cuts = np.cumsum([-4, apart, 2 * apart])
    each = [float(losses.ordinal(jnp.float32(logit), y, LEVELS, cuts)) for y in LEVELS]
    assert np.exp(-np.array(each)).sum() == pytest.approx(1, rel=1e-5)
    wanted = each[LEVELS.index(level)]
    beside = np.float32(level + 0.2)  # of the nearest level
    found = losses.ordinal(jnp.float32(logit), beside, LEVELS, cuts)
    assert float(found) == wanted


@settings(max_examples=30, deadline=None)
@given(st.floats(-300, 300, width=32), st.sampled_from([0.0, 1.0]))
def test_the_limits_of_losses_are_others(logit, y):
    z = jnp.float32(logit)
    near = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-30)
    near(losses.focal(z, y, 0.0), losses.binary_cross_entropy(z, y))
    near(2 * losses.huber(z, y, 1e6), losses.squared_error(z, y))
    near(2 * losses.pinball(z, y, 0.5), abs(z - y))
    near(losses.weighted_logistic(z, y), losses.binary_cross_entropy(z, y))
    cut = losses.ordinal(z, y, (0.0, 1.0), (0.0,))
    near(cut, losses.binary_cross_entropy(z, y))


def least(task, y, scale):
    """The logit, one for all labels (B,), where the mean loss is least."""
    y = jnp.asarray(y, jnp.float32)[:, None]
    loss = lambda z: losses.example_losses(
        jnp.full_like(y, z), y, [task], [scale]
    ).mean()
    grid = jnp.linspace(-4, 4, 4001)
    return float(grid[jnp.argmin(jax.lax.map(loss, grid))])


def test_constants_are_what_each_loss_estimates():
    rng = np.random.default_rng(3)
    y = np.where(rng.random(1009) < 0.4, 0, rng.poisson(3.0, 1009)).astype(float)
    of = lambda loss, y, scale=PLAIN, **o: least(Task("t", loss=loss, **o), y, scale)
    flat = linear_model.QuantileRegressor(quantile=0.8, alpha=0).fit(0 * y[:, None], y)
    assert of("quantile", y / 4, quantile=0.8) * 4 == pytest.approx(flat.intercept_)
    counts = linear_model.PoissonRegressor(alpha=0).fit(0 * y[:, None], y)
    assert of("poisson", y) == pytest.approx(counts.intercept_, abs=2e-3)
    odds = y.sum() / (y == 0).sum()
    assert np.exp(of("weighted_logistic", y)) == pytest.approx(odds, rel=2e-3)
    shares = np.bincount(y.astype(int).clip(max=3)) / len(y)
    cuts = special.logit(np.cumsum(shares)[:-1])
    zero = of(
        "ordinal", y.clip(max=3), Scale(thresholds=tuple(cuts)), levels=(0, 1, 2, 3)
    )
    assert zero == pytest.approx(0, abs=2e-3)
