"""Macro means and worst domains, against loops."""

import math

import numpy as np
import pytest

from ple_jax.metrics.over_domains import over_domains

METRICS = ("auc_roc", "log_loss", "calibration", "rmse")


@pytest.fixture(scope="module")
def domains():
    """Values of 7 domains and 3 tasks, some undefined, one task in no domain."""
    rng = np.random.default_rng(0)

    def value(task):
        return None if task == "none" or rng.random() < 0.3 else float(rng.gamma(2))

    return {
        f"domain {n}": {
            task: {**{m: value(task) for m in METRICS}, "examples": n}
            for task in ("click", "buy", "none")
        }
        for n in range(7)
    }


@pytest.mark.parametrize("task", ["click", "buy", "none"])
@pytest.mark.parametrize("name", METRICS)
def test_reductions_are_loops_over_the_domains_that_have_the_metric(
    domains, task, name
):
    total, count, found, where = 0.0, 0, None, None
    for place, domain in domains.items():
        value = domain[task][name]
        if value is None:
            continue
        total, count = total + value, count + 1
        if name == "auc_roc":
            is_worse = found is None or value < found
        elif name == "calibration":
            far = lambda ratio: abs(math.log(ratio))
            is_worse = found is None or far(value) > far(found)
        else:
            is_worse = found is None or value > found
        found, where = (value, place) if is_worse else (found, where)
    got = over_domains(domains)
    assert got["worst"][task][name] == found
    assert got["worst_domain"][task][name] == where
    mean = got["macro"][task][name]
    assert mean == (pytest.approx(total / count) if count else None)
    assert (mean is None) == (task == "none")


def test_counts_are_left_out_and_nothing_gives_nothing(domains):
    assert "examples" not in over_domains(domains)["macro"]["click"]
    assert over_domains({}) == {"macro": {}, "worst": {}, "worst_domain": {}}
