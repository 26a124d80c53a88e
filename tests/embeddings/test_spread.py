"""Rows that are spread over a table: where they lie, and that each is drawn as ever."""

import jax
import numpy as np
import pytest

from ple_jax.embeddings import draw
from ple_jax.embeddings.spread import lanes_of, spread, spread_length, unspread
from ple_jax.parallel.mesh import make_mesh


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 1009, 100_003])
def test_each_row_has_a_place(rows):
    places = spread(np.arange(rows, dtype=np.int32), rows)
    assert places.dtype == np.int32
    assert len(set(places)) == rows
    assert places.min() == 0
    assert places.max() < spread_length(rows) < 17 / 16 * rows + 1
    assert np.array_equal(unspread(places, rows), np.arange(rows))
    empty = np.setdiff1d(np.arange(spread_length(rows)), places)
    assert (unspread(empty, rows) >= rows).all()


def test_the_largest_tables_keep_int32():
    for rows in (2**31 - 1, 2**31 - 5000):
        assert spread_length(rows) <= 2**31 - 1
        assert 0 <= spread(np.int32(rows - 1), rows) < spread_length(rows)
    assert lanes_of(2**31 - 5000) > 1


def test_devices_draw_the_largest_table():
    mesh, rows = make_mesh(4), 2**31 - 1
    drawn = jax.jit(lambda key: draw.draw_spread(mesh, key, rows, 2**31, 5, 0.3))
    (found,) = jax.tree.leaves(drawn.lower(jax.random.key(5)).out_info)
    assert found.shape == (2**31, 5)


def test_owners_have_as_much_to_do():
    """Busiest against mean, of log-uniform ids: ranges of rows as they are fail."""
    rng, rows, devices = np.random.default_rng(0), 2**20, 64
    ids = np.exp(rng.random((devices, 64)) * np.log(rows)).astype(np.int32)
    own = spread_length(rows) // devices

    def busiest(places):
        each = [np.bincount(np.unique(s) // own, minlength=devices) for s in places]
        return np.sum(each, axis=0).max() / np.mean(np.sum(each, axis=0))

    assert busiest(spread(ids, rows)) < 2.5
    assert busiest(ids) > 25


@pytest.mark.parametrize("devices", [1, 3, 4])
@pytest.mark.parametrize("block", [7, 100])
def test_spread_rows_are_drawn_as_ever(monkeypatch, block, devices):
    monkeypatch.setattr(draw, "BLOCK", block)
    monkeypatch.setattr(draw, "PLACES", 16)
    mesh, key, rows = make_mesh(devices), jax.random.key(5), 100
    end = -(-spread_length(rows) // devices) * devices
    drawn = jax.jit(lambda key: draw.draw_spread(mesh, key, rows, end, 5, 0.3))
    found = np.asarray(drawn(key))
    wanted = jax.jit(lambda key: 0.3 * draw.draw_normal(key, rows, 5))(key)
    places = spread(np.arange(rows, dtype=np.int32), rows)
    assert np.array_equal(found[places], wanted)
    assert not np.any(np.delete(found, places, axis=0))
