"""Reliability by loops, and recalibration against scikit-learn."""

import numpy as np
import pytest

from ple_jax.metrics.exact import calibration_error, sigmoid
from ple_jax.metrics.recalibration import Isotonic, Platt
from ple_jax.metrics.reliability import expected_error, reliability


def rows(count=613, seed=0):
    """Logits with ties, labels that they overstate, and weights."""
    rng = np.random.default_rng(seed)
    z = np.round(rng.normal(size=count) * 3, 1)
    y = np.float64(rng.random(count) < sigmoid(0.5 * z - 1))
    return z, y, rng.choice([0.5, 1.0, 3.0], count)


def test_bins_are_those_of_equal_counts():
    z, y, w = rows()
    p = sigmoid(z)
    found = reliability(p, y, w, bins=7)
    edges = [np.sort(p)[int(np.ceil(k * len(p) / 7)) - 1] for k in range(1, 7)]
    start = -np.inf
    for k, end in enumerate([*edges, np.inf]):
        inside = (p > start) & (p <= end)
        mean = lambda values, i=inside: np.average(values[i], weights=w[i])
        assert found["examples"][k] == inside.sum()
        assert found["predicted"][k] == pytest.approx(mean(p))
        assert found["actual"][k] == pytest.approx(mean(y))
        assert found["low"][k] == p[inside].min()
        assert found["high"][k] == p[inside].max()
        gap = (y - p)[inside] - mean(y - p)
        error = np.sqrt(((w[inside] * gap) ** 2).sum()) / w[inside].sum()
        assert found["standard_error"][k] == pytest.approx(error)
        start = end


def test_the_expected_error_is_the_metric():
    z, y, _ = rows()
    found = expected_error(reliability(sigmoid(z), y))
    assert found == pytest.approx(calibration_error(z, y, np.ones(len(y))))
    assert expected_error(reliability(np.zeros(0), np.zeros(0))) is None


def test_equal_predictions_are_one_bin():
    found = reliability(np.full(31, 0.3), np.arange(31) % 2)
    assert found["examples"].tolist() == [31]
    assert found["actual"] == pytest.approx([15 / 31])


def test_platt_is_the_likeliest_line():
    linear_model = pytest.importorskip("sklearn.linear_model")
    z, y, w = rows(count=20_011)
    found = Platt.fit(z, y, w)
    model = linear_model.LogisticRegression(C=np.inf, tol=1e-10)
    model.fit(z[:, None], y, sample_weight=w)
    assert found.slope == pytest.approx(model.coef_[0, 0], rel=1e-3)
    assert found.offset == pytest.approx(model.intercept_[0], rel=1e-3)
    assert found.slope == pytest.approx(0.5, rel=0.05)
    assert np.average(found(z) - y, weights=w) == pytest.approx(0, abs=1e-4)


def test_platt_ends_where_ranking_is_perfect():
    z = np.linspace(-30, 30, 21)
    found = Platt.fit(z, z > 0)
    assert 0 < found.slope < 100
    assert np.all(np.diff(found(z)) >= 0)


def test_isotonic_is_that_of_scikit_learn():
    isotonic = pytest.importorskip("sklearn.isotonic")
    z, y, w = rows()
    found = Isotonic.fit(z, y, w)
    model = isotonic.IsotonicRegression(out_of_bounds="clip").fit(z, y, w)
    at = np.linspace(-12, 12, 997)
    least = 1 / (w.sum() + 2)  # no row is certain
    steps = np.clip(model.y_thresholds_, least, 1 - least)
    wanted = np.interp(at, model.X_thresholds_, steps)
    np.testing.assert_allclose(found(at), wanted, atol=1e-12)
    assert found(at).min() == pytest.approx(least)
    assert len(found.points) < 100


@pytest.mark.parametrize("method", [Platt, Isotonic])
def test_one_class_cannot_be_fitted(method):
    with pytest.raises(ValueError, match="both classes, got 0 positives among 5"):
        method.fit(np.arange(5.0), np.zeros(5))
    with pytest.raises(ValueError, match="both classes"):
        method.fit(np.arange(2.0), np.array([0, 1]), np.array([1.0, 0]))


def test_recalibration_mends_what_a_line_can():
    z, y, _ = rows(20_011)
    new, other, _ = rows(20_011, seed=1)
    before = expected_error(reliability(sigmoid(new), other))
    for method in (Platt, Isotonic):
        after = expected_error(reliability(method.fit(z, y)(new), other))
        assert after < 0.02 < 0.1 < before
