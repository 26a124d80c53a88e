"""Prior strengths, against sums of squares by hand and what labels were drawn from."""

import math

import numpy as np
import pytest
from lib.means import strength_by_hand

from ple_jax.data import shrinkage
from ple_jax.data.shrinkage import Variation, shrink


def fit_strength(n, sums, parent, squares, labels):
    return shrinkage.fit_strength(Variation.of(n, sums, parent), squares, labels)


def fitted(labels, weights=None):
    weights = weights or [np.ones(len(group)) for group in labels]
    pairs = [*zip(map(np.array, weights), map(np.array, labels), strict=True)]
    n = np.array([w.sum() for w, _ in pairs])
    sums = np.array([(w * y).sum() for w, y in pairs])
    squares = sum((w * y**2).sum() for w, y in pairs)
    one = np.zeros(len(n), int)
    return fit_strength(n, sums, one, squares, sum(len(w) for w, _ in pairs))


def test_strengths_equal_the_sums_of_squares_by_hand():
    rng = np.random.default_rng(0)
    rates = rng.beta(1.5, 3, 13)
    binary = [rng.binomial(1, p, rng.integers(2, 11)).tolist() for p in rates]
    real = [rng.normal(m, 0.7, 7).tolist() for m in rng.normal(5, 1, 11)]
    weights = [rng.choice([0.5, 1.0, 2.0], len(group)).tolist() for group in real]
    assert fitted(binary) == pytest.approx(strength_by_hand(binary), rel=1e-9)
    assert fitted(real) == pytest.approx(max(1.0, strength_by_hand(real)), rel=1e-9)
    unit = sum(map(sum, weights)) / sum(map(len, weights))
    wanted = max(unit, strength_by_hand(real, weights))
    assert fitted(real, weights) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("strength", [3.0, 17.0])
def test_the_strength_of_what_labels_were_drawn_from_is_found(strength):
    """Beta-binomial with 20,000 values: the standard error is below 2 %."""
    rng = np.random.default_rng(1)
    n = rng.integers(1, 40, 20_000)
    sums = rng.binomial(n, rng.beta(0.3 * strength, 0.7 * strength, len(n)))
    one = np.zeros(len(n), int)
    found = fit_strength(n, sums, one, sums.sum(), n.sum())
    assert found == pytest.approx(strength, rel=0.06)


def test_the_strength_of_numbers_is_the_ratio_of_variances():
    rng = np.random.default_rng(2)
    value = np.repeat(np.arange(5_000), rng.integers(1, 20, 5_000))
    y = rng.normal(0, 2.0, 5_000)[value] + rng.normal(100, 5.0, len(value))
    n, sums = np.bincount(value), np.bincount(value, weights=y)
    found = fit_strength(n, sums, np.zeros(5_000, int), (y**2).sum(), len(y))
    assert found == pytest.approx(5.0**2 / 2.0**2, rel=0.06)


def test_the_strength_of_domains_within_values_leaves_values_out():
    rng = np.random.default_rng(3)
    value = np.repeat(np.arange(2_000), 5)  # five domains each
    mean = rng.normal(0, 9.0, 2_000)[value] + rng.normal(0, 1.0, len(value))
    n = rng.integers(2, 12, len(value))
    group = np.repeat(np.arange(len(value)), n)
    y = mean[group] + rng.normal(0, 2.0, len(group))
    sums = np.bincount(group, weights=y)
    assert fit_strength(n, sums, value, (y**2).sum(), len(y)) == pytest.approx(
        4.0, rel=0.06
    )


@pytest.mark.parametrize(
    "labels",
    [[[1], [0], [1]], [[1, 0], [0, 1]], [[1, 0, 1]]],
    ids=["one label each", "equal values", "one value"],
)
def test_values_that_do_not_differ_are_all_given_the_prior(labels):
    assert fitted(labels) == math.inf
    assert shrink(np.array([2.0]), np.array([2.0]), 0.3, np.array(math.inf)) == 0.3


def test_pure_values_are_shrunk_by_one_label():
    assert fitted([[1, 1, 1], [0, 0], [1, 1]]) == 1.0
    assert fitted([[2, 2], [0, 0]], [[3.0, 3.0], [3.0, 3.0]]) == 3.0


def test_means_do_not_depend_on_the_unit_of_weights():
    labels = [[1, 0, 1], [0, 0], [1, 1, 1, 0]]
    weights = [[1.0, 2.0, 0.5], [1.0, 1.0], [2.0, 1.0, 1.0, 1.0]]
    tenth = [[w / 10 for w in group] for group in weights]
    assert fitted(labels, weights) == pytest.approx(10 * fitted(labels, tenth))
