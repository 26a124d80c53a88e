"""Numbers are encoded as documented."""

import json

import numpy as np
import pytest

from ple_jax.data.counts import NumberCounts
from ple_jax.data.numeric import MOST_DEVIATIONS, bucket_edges, fit_numeric
from ple_jax.schema import Field


def test_few_numbers_have_a_bucket_each_and_zero_has_its_own():
    few = NumberCounts.of(np.array([3.0, 1.0, 2.0, 2.0]))
    fitted = fit_numeric(Field("n", "numeric", ("buckets",), bins=5), few)
    np.testing.assert_array_equal(
        fitted.ids(np.array([1, 2, 3, np.nan]))[0], [1, 2, 3, 0]
    )
    many = np.r_[np.zeros(500), np.random.default_rng(0).exponential(size=500)]
    edges = bucket_edges(NumberCounts.of(many), bins=8)
    bucket = np.searchsorted(edges, many, "right")
    assert len(set(bucket[many == 0])) == 1
    assert set(bucket[many == 0]).isdisjoint(bucket[many > 0])
    sizes = np.bincount(bucket[many > 0])[1:]
    assert sizes[sizes > 0].min() > 40


def test_numbers_are_encoded_as_documented():
    x = np.array([-3.0, 0.0, 1.0, 5.0, 9.0, np.nan])
    field = Field("n", "numeric", ("standard", "log", "piecewise"), bins=3)
    fitted = fit_numeric(field, NumberCounts.of(x))
    standard, log, position = fitted.numbers(x)
    known = x[:-1]
    np.testing.assert_allclose(
        standard[:-1], (known - known.mean()) / known.std(), rtol=1e-6
    )
    signed = np.sign(known) * np.log1p(abs(known))
    np.testing.assert_allclose(
        log[:-1], (signed - signed.mean()) / signed.std(), rtol=1e-5
    )
    assert position[0] == 0
    assert position[-2] == len(fitted.knots) - 1
    assert (np.diff(position[:-1]) > 0).all()
    assert standard[-1] == log[-1] == position[-1] == 0


@pytest.mark.parametrize("far", [1e38, 1e39, 1e155, 1.7e308, -1.7e308])
def test_finite_numbers_have_finite_encodings(far):
    """Whether the far number is in train or comes later."""
    encodings = ("standard", "log", "piecewise")
    field = Field("n", "numeric", encodings, bins=3)
    near = np.array([-1.0, 0.0, 2.0, 2.0, 5.0])
    for train in (near, np.r_[near, far], np.r_[near, far, far, -far]):
        fitted = fit_numeric(field, NumberCounts.of(train))
        json.dumps(fitted.to_dict(), allow_nan=False)
        columns = np.stack(fitted.numbers(np.r_[far, -far, near, np.nan]))
        assert np.isfinite(columns).all()
        assert np.abs(columns[:2]).max() <= MOST_DEVIATIONS
        assert columns[0].std() > 0


def test_a_far_number_keeps_its_moments():
    """Numbers whose squares overflow have the moments of the same numbers scaled."""
    x = np.array([1.0, 2.0, 2.0, 7.0])
    mean, spread = NumberCounts.of(x * 1e200).moments(log=False)
    np.testing.assert_allclose([mean, spread], [3e200, x.std() * 1e200], rtol=1e-12)


def test_ordinary_numbers_are_not_clipped():
    fitted = fit_numeric(
        Field("n", "numeric", ("standard",)), NumberCounts.of(np.array([-1.0, 1.0]))
    )
    x = np.array([-9e5, 0.1, 9e5])
    np.testing.assert_array_equal(fitted.numbers(x)[0], x.astype(np.float32))


def test_merging_huge_numbers_keeps_them_finite(monkeypatch):
    monkeypatch.setattr("ple_jax.data.counts.MOST_DISTINCT", 10)
    numbers = np.linspace(1e308, 1.7e308, 101)
    merged = NumberCounts.of(np.repeat(numbers, 3))
    assert np.isfinite(merged.values).all()
    assert len(merged.values) < 101
    assert merged.counts.sum() == 303
