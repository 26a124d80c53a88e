"""The global norm: of what is trained, and of nothing else."""

import numpy as np
import pytest
from lib.arrays import random_array

from ple_jax.optim import dense as optimizers


@pytest.mark.parametrize("only", [(), ("model",), ("tables",), ("kernel",)])
def test_the_norm_is_of_what_is_trained(only):
    model = {"kernel": random_array(3, 5, seed=1), "bias": random_array(5, seed=2)}
    grads = {"model": model, "tables": {"dim_3": random_array(7, 3, seed=3)}}
    leaves = {(a, b): leaf for a, part in grads.items() for b, leaf in part.items()}
    moved = [names for names in leaves if not only or set(names) & set(only)]
    norm = np.sqrt(sum(value**2 for n in moved for value in leaves[n].ravel()))
    got = optimizers.clip(grads, 0.1, only)
    for (a, b), leaf in leaves.items():
        want = leaf * 0.1 / norm if (a, b) in moved else leaf
        np.testing.assert_allclose(got[a][b], want, rtol=1e-6)
