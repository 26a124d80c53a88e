"""A mean over tasks by certainty, against the variance of an area by definition."""

import numpy as np
import pytest

from ple_jax.metrics.alone import auc_roc
from ple_jax.metrics.certainty import certain_mean, certainty


def hanley_mcneil(area, positives, negatives):
    """The variance of an area under the curve: Hanley and McNeil 1982, equation 2."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area)
    spread += (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return spread / (positives * negatives)


@pytest.mark.parametrize(("positives", "negatives"), [(7, 11), (3, 1009), (503, 499)])
def test_certainty_is_the_inverse_variance_of_chance(positives, negatives):
    wanted = 1 / hanley_mcneil(0.5, positives, negatives) / 12
    assert certainty(positives, negatives) == pytest.approx(wanted)


def test_certainty_is_that_of_areas_of_random_scores():
    random, labels = np.random.default_rng(0), np.arange(60) < 13
    areas = [auc_roc(random.normal(size=60), labels) for _ in range(4000)]
    assert 1 / (12 * np.var(areas)) == pytest.approx(certainty(13, 47), rel=0.1)


def task(auc, positives, examples):
    return {"auc_roc": auc, "positives": positives, "examples": examples}


def test_a_mean_weighs_each_task_by_its_certainty():
    tasks = {"click": task(0.75, 300, 1000), "buy": task(0.5, 4, 1000)}
    a, b = (1 / hanley_mcneil(0.5, p, 1000 - p) for p in (300, 4))
    wanted = (0.75 * a + 0.5 * b) / (a + b)
    assert certain_mean(tasks, "auc_roc") == pytest.approx(wanted)
    assert wanted > 0.74


def test_what_has_one_class_or_is_a_number_has_no_say():
    tasks = {"click": task(0.75, 300, 1000), "buy": task(None, 0, 1000)}
    tasks["time"] = {"rmse": 3.0, "examples": 1000}
    assert certain_mean(tasks, "auc_roc") == 0.75
    assert certain_mean({"buy": tasks["buy"]}, "auc_roc") is None
