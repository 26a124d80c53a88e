"""Examples as named arrays."""

import numpy as np

from ple_jax.data.examples import Examples


def test_tables_of_examples_keep_their_names():
    arrays = {"ids": np.zeros((2, 0)), "bags/a": np.ones((2, 3))}
    rest = ("numbers", "domain", "labels", "observed", "weights")
    whole = Examples.of(arrays | {name: np.zeros(2) for name in rest})
    assert set(whole.arrays()) == {*arrays, *rest}
