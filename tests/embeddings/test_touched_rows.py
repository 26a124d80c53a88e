"""The rows that a batch touches, found on the host and on the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lib.arrays import assert_same

from ple_jax.embeddings import touched_rows


@pytest.mark.parametrize("end", [3, 50, 10_000])
def test_host_and_device_find_the_same_rows(end):
    rows = np.random.default_rng(0).integers(0, end + 1, (2, 17, 5)).astype(np.int32)
    host = touched_rows.find_on_host(rows, end)
    for i in range(2):
        device = touched_rows.find_on_device(jnp.array(rows[i]), end)
        assert_same(device, jax.tree.map(lambda leaf, i=i: leaf[i], host))
        unique = np.unique(rows[i])
        np.testing.assert_array_equal(host.rows[i][: len(unique)], unique)
        assert (host.rows[i][len(unique) :] == end).all()
        np.testing.assert_array_equal(host.rows[i][host.slots[i]], rows[i])
