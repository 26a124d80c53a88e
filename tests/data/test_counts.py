"""Counts of strings and numbers add up exactly, however rows are cut."""

import collections
import dataclasses
import functools
import random
import struct
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lib.tables import SCHEMA, raw, rows_of, source

from ple_jax.data.counts import NumberCounts, ValueCounts, lower_ends
from ple_jax.data.encode import Encoder
from ple_jax.data.prepare import prepare


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


def key_of(x):
    """The place of a number among all float64, zero at 0: by its bits, one by one."""
    (bits,) = struct.unpack("<q", struct.pack("<d", x + 0.0))
    return bits if bits >= 0 else ~(bits & (2**63 - 1))


def cells_of(numbers, most):
    """Cell -> count, for the fewest bits lost that leave at most `most` cells."""
    for lost in range(64):
        cells = Counter((key_of(x) >> lost, x == 0) for x in numbers)
        if lost == 0 and len(cells) <= most:
            return cells, lost
        if lost and len({cell for cell, _ in cells}) <= most:
            return cells, lost
    raise AssertionError


NUMBERS = st.lists(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308])
    | st.floats(100, 101),
    min_size=1,
    max_size=60,
)


@given(NUMBERS, st.lists(st.integers(0, 60), max_size=6), st.randoms())
@example([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -0.0], [3], random.Random(0))
@example([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 2.0**1023, 0.5], [], random.Random(0))
@settings(deadline=None, max_examples=150)
def test_numbers_are_the_same_for_any_cut_and_any_order(numbers, cuts, rng):
    """Bit for bit; and these are the cells that a loop over all bits finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ple_jax.data.counts.MOST_DISTINCT", 7)
        whole = NumberCounts.of(np.array(numbers))
        shuffled = rng.sample(numbers, len(numbers))
        parts = np.split(np.array(shuffled), sorted(cuts))
        counts = list(map(NumberCounts.of, parts))
        merged = functools.reduce(NumberCounts.merge, counts, NumberCounts.none())
        tree = functools.reduce(lambda a, b: b.merge(a), counts)
    for other in (merged, tree):
        assert other.values.tobytes() == whole.values.tobytes()
        np.testing.assert_array_equal(other.counts, whole.counts)
        assert other.moments(log=True) == whole.moments(log=True)
    cells, lost = cells_of(numbers, 7)
    found = [(key_of(x) >> lost, x == 0) for x in whole.values.tolist()]
    assert whole.lost == lost
    assert dict(zip(found, whole.counts.tolist(), strict=True)) == cells
    ends = lower_ends(np.array(numbers), lost)
    assert (ends <= np.array(numbers)).all()
    assert set(ends.tolist()) == set(whole.values.tolist())


def test_numbers_stay_near_what_they_are(monkeypatch):
    """At 100 cells: quantiles are found to a few of them, and moments to a per cent."""
    monkeypatch.setattr("ple_jax.data.counts.MOST_DISTINCT", 1000)
    rng = np.random.default_rng(0)
    times = 1.7e9 + rng.random(20_011) * 3e7  # far from zero, beside their spread
    for x in (rng.lognormal(3, 1.5, 20_011), rng.normal(size=20_011), times):
        counts = NumberCounts.of(x)
        assert 500 <= len(counts.values) <= 1000
        at = np.searchsorted(np.sort(x), counts.quantiles(8, nonzero=True)) / len(x)
        np.testing.assert_allclose(at, np.arange(1, 8) / 8, atol=0.01)
        mean, spread = counts.moments(log=False)
        np.testing.assert_allclose(mean, x.mean(), atol=0.01 * x.std())
        np.testing.assert_allclose(spread, x.std(), rtol=0.01)


def test_counts_stay_bounded_and_keep_zero_apart(monkeypatch):
    monkeypatch.setattr("ple_jax.data.counts.MOST_DISTINCT", 100)
    numbers = np.r_[np.random.default_rng(0).normal(size=5000), np.zeros(700)]
    counts = NumberCounts.of(numbers)
    assert len(counts.values) <= 100
    assert counts.counts.sum() == 5700
    assert counts.counts[counts.values == 0] == 700


def test_values_are_added_up_whenever_they_have_doubled(monkeypatch):
    """As many rows in all as a few passes have, not a pass for each chunk."""
    monkeypatch.setattr("ple_jax.data.counts.MOST_BYTES", 4 * 200)
    added, add_up = [], ValueCounts._add_up
    rows = lambda counts: sum(map(len, counts._parts))
    noted = lambda counts: added.append(rows(counts)) or add_up(counts)
    monkeypatch.setattr(ValueCounts, "_add_up", noted)
    counts, other = ValueCounts(), ValueCounts()
    for k in range(200):
        values = pa.array([f"v{k:03}{i}" for i in range(5)])
        counts.add(np.array([0, 1, 2, 3, 4, 4]), values)
        other.add(np.array([0]), values)
    found = counts.merge(other).vocabulary()
    assert sum(added) < 6 * 1000
    assert found["count"].to_pylist() == [2] * 400 + [1] * 600
    of_two = {f"v{k:03}{i}" for k in range(200) for i in (0, 4)}
    assert set(found["value"].to_pylist()[:400]) == of_two


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_values_are_added_up_part_by_part(piece, monkeypatch):
    monkeypatch.setattr("ple_jax.data.counts.PIECE", piece)
    monkeypatch.setattr("ple_jax.data.spill.PIECE", piece)
    rng = random.Random(piece)
    drawn = [rng.choice("abcdefgh") * rng.randint(1, 5) for _ in range(211)]
    counts = [ValueCounts(), ValueCounts()]
    for i in range(0, len(drawn), 20):
        values, codes = np.unique(drawn[i : i + 20], return_inverse=True)
        counts[i % 40 // 20].add(codes, pa.array([*values, None]))
        counts[0].settle()
    found = counts[0].merge(counts[1]).vocabulary().to_pylist()
    wanted = sorted(collections.Counter(drawn).items(), key=lambda c: (-c[1], c[0]))
    assert [(row["value"], row["count"]) for row in found] == wanted


def test_values_of_more_text_than_an_array_holds(tmp_path, monkeypatch):
    """They have longer offsets; ids are the same."""
    usual = prepare(source(), tmp_path / "usual")
    monkeypatch.setattr("ple_jax.data.counts.MOST_TEXT", 20)
    schema = dataclasses.replace(SCHEMA)
    long = prepare(source(schema=schema), tmp_path / "long")
    for data, kind in ((usual, pa.string()), (long, pa.large_string())):
        kinds = {
            v.schema.field("value").type for v in data.encoder.vocabularies.values()
        }
        assert kind in kinds
    loaded = Encoder.load(tmp_path / "long")
    wanted = usual.encoder.encode(rows_of(raw())).arrays()
    for name, array in loaded.encode(rows_of(raw())).arrays().items():
        np.testing.assert_array_equal(array, wanted[name])
