"""Counts of strings and numbers add up, in an order that is stated."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ple_jax.data.counts import NumberCounts, ValueCounts


def test_the_most_frequent_value_comes_first_and_ties_go_by_value():
    counts = ValueCounts()
    counts.add(np.array([2, 0, 1, 2]), pa.array(["b", "a", "c"]))
    found = counts.vocabulary()
    assert found["value"].to_pylist() == ["c", "a", "b"]
    assert found["id"].to_pylist() == [1, 2, 3]
    assert counts.vocabulary(min_count=2)["value"].to_pylist() == ["c"]


@given(
    st.lists(st.integers(-50, 50), max_size=40),
    st.lists(st.integers(-50, 50), max_size=40),
)
@settings(deadline=None)
def test_counts_of_parts_add_up(left, right):
    of = lambda values: NumberCounts.of(np.array(values, np.float64))
    both, whole = of(left).merge(of(right)), of(left + right)
    np.testing.assert_array_equal(both.values, whole.values)
    np.testing.assert_array_equal(both.counts, whole.counts)


def test_counts_stay_bounded_and_keep_zero_apart(monkeypatch):
    monkeypatch.setattr("ple_jax.data.counts.MOST_DISTINCT", 100)
    numbers = np.r_[np.random.default_rng(0).normal(size=5000), np.zeros(700)]
    counts = NumberCounts.of(numbers)
    assert len(counts.values) <= 160
    assert counts.counts.sum() == 5700
    assert counts.counts[counts.values == 0] == 700
