"""Sums of labels merge exactly, however rows are cut; an index finds keys."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.means import MEANS, log
from lib.tables import rows_of, source

from ple_jax.data.cells import Index
from ple_jax.data.label_sums import Addends, LabelSums
from ple_jax.data.prepare import prepare


def uneven():
    """A log whose weights span nine powers of ten, and ratings too; and folds."""
    rng = np.random.default_rng(7)
    price, rating = (pa.array(rng.lognormal(0, 4, 397)) for _ in range(2))
    table = log().set_column(2, "price", price).set_column(9, "weight", rating)
    return table, rng.integers(0, 5, 397)


def cells_of(parts, schema):
    found = [LabelSums() for _ in parts]
    for sums, (table, folds) in zip(found, parts, strict=True):
        if len(table):
            rows = rows_of(table, schema)
            sums.add(*rows.text("item"), Addends.read(rows, schema, folds))
    whole = found[0]
    for sums in found[1:]:
        whole = whole.merge(sums)
    domains = pa.array(["s0", "s1", "s2"])
    (cells,) = whole.cells(pa.array([f"i{k}" for k in range(11)]), domains)
    return whole, cells


@given(
    st.lists(st.integers(0, 397), max_size=9),
    st.randoms(use_true_random=False),
    st.sampled_from([1_000, 1_000_000]),
)
@settings(deadline=None, max_examples=20)
def test_sums_are_the_same_for_any_cut_and_any_order(cuts, random, limit):
    """Bit for bit, with weights and a squared task whose sums are no whole numbers."""
    table, folds = uneven()
    at = [0, *sorted(cuts), 397]
    parts = [(table.slice(a, b - a), folds[a:b]) for a, b in itertools.pairwise(at)]
    wanted_sums, wanted = cells_of([(table, folds)], MEANS)
    random.shuffle(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ple_jax.data.label_sums.MOST_BYTES", limit)
        got_sums, got = cells_of(parts, MEANS)
    for name in ("value", "domain", "fold", "amounts"):
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
    np.testing.assert_array_equal(got_sums.squares, wanted_sums.squares)
    np.testing.assert_array_equal(got_sums.labels, wanted_sums.labels)


def test_sums_of_floats_would_depend_on_the_cut_control(monkeypatch):
    """Why addends are whole numbers."""
    floats = lambda name, x, fractions: {name: x}
    monkeypatch.setattr("ple_jax.data.label_sums._exact", floats)
    monkeypatch.setattr("ple_jax.data.label_sums.MOST_BYTES", 2_000)
    table, folds = uneven()
    parts = [(table.slice(a, 10), folds[a : a + 10]) for a in range(0, 397, 10)]
    (_, whole), (_, cut) = cells_of([(table, folds)], MEANS), cells_of(parts, MEANS)
    assert (whole.amounts != cut.amounts).any()


@pytest.mark.parametrize("chunk", [1, 37, 1000])
def test_how_rows_are_cut_into_chunks_changes_nothing(tmp_path, chunk):
    one = prepare(source(log(), MEANS, chunk), tmp_path / "one")
    other = prepare(source(log(), MEANS, 100), tmp_path / "other")
    assert one.fingerprint == other.fingerprint


def test_how_many_rows_are_encoded_at_once_changes_nothing(tmp_path, monkeypatch):
    whole = prepare(source(log(), MEANS), tmp_path / "whole")
    monkeypatch.setattr("ple_jax.data.writer.MOST_BYTES", 1000)
    parts = prepare(source(log(), MEANS), tmp_path / "parts")
    assert parts.fingerprint == whole.fingerprint


def test_a_label_too_large_to_add_up_is_named():
    schema = dataclasses.replace(MEANS, weight=None, domain=None)
    rows = log().to_pydict()
    rows["weight"][5] = 3e9
    rows = rows_of(pa.table(rows), schema)
    with pytest.raises(ValueError, match=r"row 6, column 'weight'.*below 2\^31"):
        Addends.read(rows, schema, np.zeros(397, int))


@given(
    st.sets(st.integers(0, 60)),
    st.lists(st.integers(-9, 70)),
    st.sampled_from([61, 10**8]),
)
@settings(deadline=None, max_examples=50)
def test_an_index_finds_the_places_of_keys(keys, wanted, size):
    """By a table where that is short, by a search where it would be long."""
    keys = np.array(sorted(keys), np.int64)
    wanted = [w for w in wanted if w < size]
    found = Index(keys, size).find(np.array(wanted, np.int64))
    assert found.tolist() == [[*keys, w].index(w) if w in keys else -1 for w in wanted]
