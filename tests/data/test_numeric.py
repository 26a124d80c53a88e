"""Numbers are encoded as documented."""

import numpy as np

from ple_jax.data.counts import NumberCounts
from ple_jax.data.numeric import bucket_edges, fit_numeric
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
