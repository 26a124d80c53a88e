"""Spreads over trials, against SciPy."""

import numpy as np
import pytest
from scipy import stats

from ple_jax.metrics.spread import spread, spread_by_task


@pytest.mark.parametrize("count", [2, 3, 7])
def test_the_interval_is_students(count):
    values = np.random.default_rng(count).normal(size=count).tolist()
    found = spread(values)
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    error = deviation / count**0.5
    wanted = stats.t.interval(0.95, count - 1, loc=mean, scale=error)
    assert found["trials"] == count
    assert found["mean"] == pytest.approx(mean, rel=1e-12)
    assert found["standard_deviation"] == pytest.approx(deviation, rel=1e-12)
    assert found["interval"] == pytest.approx(wanted, rel=1e-9)


def test_undefined_values_do_not_count():
    assert spread([0.5, None, 0.7, None]) == spread([0.5, 0.7])
    one = {"trials": 1, "mean": 0.5, "standard_deviation": None, "interval": None}
    assert spread([None, 0.5]) == one
    assert spread([None]) == spread([]) == one | {"trials": 0, "mean": None}


def test_each_metric_of_each_task_is_spread_but_counts_are_not():
    each = [
        {"click": {"auc_roc": a, "examples": 9}, "buy": {"mse": a}} for a in (1.0, 3.0)
    ]
    wanted = {"click": {"auc_roc": spread([1, 3])}, "buy": {"mse": spread([1, 3])}}
    assert spread_by_task(each) == wanted
    assert spread_by_task([]) == {}
    assert spread_by_task(each[:1])["buy"]["mse"]["mean"] == 1
