"""Batches are rows of the split, each where it should be."""

import numpy as np
import pytest

from ple_jax.data.loader import Loader, batches_in_order
from ple_jax.data.sampling import permute


def test_batches_are_the_rows_of_the_split(data):
    loader = Loader(data.split("train"), 16, seed=3)
    whole = data.split("train")
    chunk = loader.batches(epoch=1, first=2, count=3)
    assert chunk.ids.shape == (3, 16, len(data.layout.ids))
    rows = permute(np.arange(32, 80), len(whole), (3, 1))
    np.testing.assert_array_equal(chunk.labels.reshape(48, -1), whole.labels[rows])
    one = loader.batches(epoch=1, first=3, count=1)
    np.testing.assert_array_equal(one.ids[0], chunk.ids[1])
    np.testing.assert_array_equal(one.bags["tags"][0], chunk.bags["tags"][1])


def test_processes_share_each_batch(data):
    whole = Loader(data.split("train"), 16, 3).batches(0, 1, 2)
    parts = [
        Loader(data.split("train"), 16, 3, (p, 2)).batches(0, 1, 2) for p in (0, 1)
    ]
    joined = np.concatenate([p.numbers for p in parts], axis=1)
    np.testing.assert_array_equal(joined, whole.numbers)


def test_in_order_visits_each_row_once_in_one_shape(data):
    split = data.split("test")
    batches = list(batches_in_order(split, 29))
    assert {batch.ids.shape[0] for batch, _ in batches} == {29}
    labels = np.concatenate([batch.labels[:rows] for batch, rows in batches])
    np.testing.assert_array_equal(labels, split.labels)
    last, rows = batches[-1]
    assert not last.observed[rows:].any()


def test_a_batch_larger_than_train_is_an_error(data):
    with pytest.raises(ValueError, match="at most the"):
        Loader(data.split("train"), 10_000, 0)
