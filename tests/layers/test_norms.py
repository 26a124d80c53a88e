"""Batch normalisation's moving statistics against a loop."""

import jax
import numpy as np
import pytest
from lib.arrays import random_array

from ple_jax.layers.batch_last import BATCH_FIRST, BATCH_LAST
from ple_jax.layers.norms import BatchNorm, kept_share

B, H = 11, 3


def batch(turn):
    return random_array(B, H, seed=turn) * (turn + 1) + turn


def after(turns, axis, window):
    """The moving mean and variance after some batches."""
    module = BatchNorm(window, axis)
    laid = lambda x: x if axis is BATCH_FIRST else x.T
    variables = module.init(jax.random.key(0), laid(batch(0)))
    for turn in range(turns):
        given = laid(batch(turn))
        out, moved = module.apply(variables, given, True, mutable=["batch_stats"])
        variables = variables | moved
    scored = module.apply(variables, given)
    return variables["batch_stats"], laid(out), laid(scored)


@pytest.mark.parametrize("axis", [BATCH_FIRST, BATCH_LAST])
@pytest.mark.parametrize("window", [0.1, 0.5])
def test_moving_statistics_follow_their_formula(axis, window):
    mean, var = np.zeros(H), np.ones(H)
    for turn in range(3):
        keep = turn / (turn + 1 / window)
        x = np.float64(batch(turn))
        mean = keep * mean + (1 - keep) * x.mean(0)
        var = keep * var + (1 - keep) * x.var(0)
    kept, out, scored = after(3, axis, window)
    assert kept["batches"] == 3
    np.testing.assert_allclose(kept["norm"]["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(kept["norm"]["var"], var, rtol=1e-4)
    np.testing.assert_allclose(
        scored, (batch(2) - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5
    )
    wanted = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-5)


def test_after_one_step_scores_are_normalised_as_the_batch_was():
    _, out, scored = after(1, BATCH_FIRST, 0.1)
    np.testing.assert_allclose(scored, out, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [0.0, 0.1, 0.5])
def test_the_momentum_is_reached_and_the_first_batch_sets_all(window):
    keep = [float(kept_share(np.float32(n), 0.9, window)) for n in range(200)]
    assert keep[0] == 0
    assert keep == sorted(keep)
    assert keep[-1] == pytest.approx(0.9)
