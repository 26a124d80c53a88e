"""Ciao, on the real file: counts, order in time, histories."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.prepared import over_all, sizes, whole
from lib.tables import built

from ple_jax.datasets import ciao


@pytest.fixture(scope="module")
def ratings(prepared):
    return prepared("ciao")


def test_ciao_has_its_counts(ratings):
    labels = over_all(ratings, "labels")
    assert sizes(ratings) == [227_247, 28_426, 28_413]
    assert len(ratings.layout.domains) == 27
    assert labels[:, 1].sum() == 198_173
    category = whole(ciao.build())["category"].to_numpy()
    assert np.bincount(category)[1:].tolist() == list(ciao.SIZES)


def test_ciao_splits_by_time(ratings):
    time = np.sort(whole(ciao.build(history=0))["time"].to_numpy())
    first, second = np.cumsum(sizes(ratings))[:2]
    assert time[first - 1] < time[first]  # equal times stay together
    assert time[second - 1] < time[second]


def test_ciao_histories_are_earlier_items_of_the_user():
    table = whole(built(ciao, history=3))
    user, item, time = (table[n].to_numpy() for n in ("user", "item", "time"))
    for row in np.random.default_rng(0).choice(len(table), 100, replace=False):
        earlier = np.flatnonzero((user == user[row]) & (time < time[row]))
        earlier = earlier[np.argsort(time[earlier], kind="stable")]
        assert table["history"][row].as_py() == item[earlier][-3:].tolist()


def test_ciao_history_shares_the_table_of_items(ratings):
    (bag,) = ratings.layout.bags
    assert (bag.table, bag.length) == ("item", 20)
    (item,) = (c for c in ratings.layout.ids if c.name == "item")
    assert bag.rows == item.rows


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=30),
    st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_a_history_never_holds_the_present_or_the_future(rows, most):
    user, time = np.array(rows).T
    item = np.arange(len(rows))  # so that each event has a name of its own
    found = ciao.histories(user, item, time, most).to_pylist()
    for row, history in enumerate(found):
        earlier = [i for i in item if user[i] == user[row] and time[i] < time[row]]
        assert history == sorted(earlier, key=lambda i: time[i])[-most:]
