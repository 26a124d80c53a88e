"""Metrics of numbers against scikit-learn, and their slopes by weights."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from sklearn import metrics as sk

from ple_jax.metrics import errors, exact, intervals, joint, streaming
from ple_jax.metrics.over_domains import LOWER_IS_BETTER, worst
from ple_jax.tasks import LOSSES, Task

HUBER = Task("time", loss="huber", delta=0.7)
TASKS = [
    Task("squared", loss="squared"),
    HUBER,
    Task("q", loss="quantile", quantile=0.8),
    Task("visits", loss="poisson"),
    Task("stars", loss="ordinal", levels=(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)),
    Task("watch", loss="weighted_logistic"),
]
ORACLES = {
    "mse": sk.mean_squared_error,
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
    "huber": lambda y, p, sample_weight: np.average(
        special.huber(0.7, y - p), weights=sample_weight
    ),
    "pinball": lambda y, p, sample_weight: sk.mean_pinball_loss(
        y, p, sample_weight=sample_weight, alpha=0.8
    ),
    "coverage_gap": lambda y, p, sample_weight: (
        np.average(y <= p, weights=sample_weight) - 0.8
    ),
    "poisson_deviance": sk.mean_poisson_deviance,
    "calibration": lambda y, p, sample_weight: (
        (sample_weight @ p) / (sample_weight @ y)
    ),
}


def rows(count=53):
    rng = np.random.default_rng(0)
    p = rng.gamma(2, size=count)
    return p, rng.poisson(p).astype(float), rng.choice([0.5, 1, 3], count)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.loss)
def test_metrics_are_those_of_scikit_learn(task):
    p, y, w = rows()
    found = exact.measure(task, p, y, w)
    assert found.pop("examples") == 53
    assert set(found) == set(errors.names(task))
    assert {*task.kind.metrics} <= {*found} & {*LOWER_IS_BETTER}
    for name, value in found.items():
        wanted = ORACLES[name](y, p, sample_weight=w)
        assert value == pytest.approx(wanted, rel=1e-12), name
    assert None in exact.measure(task, p[:0], y[:0], w[:0]).values()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.loss)
def test_influences_are_slopes_by_each_weight(task):
    p, y, w = rows()
    for name in errors.names(task):
        value, slope = errors.influence(name, task, p, y, w)
        moved = w.copy()
        moved[5] *= 1 + 1e-6
        more = exact.measure(task, p, y, moved)[name]
        assert value == pytest.approx(exact.measure(task, p, y, w)[name], rel=1e-12)
        assert slope[5] == pytest.approx((more - value) / 1e-6, rel=1e-4, abs=1e-9)
    found = intervals.measure(task, p, y, w)
    for name, ends in found.items():
        low, high = ends["interval"]
        assert low < errors.influence(name, task, p, y, w)[0] < high
    moved = intervals.of_headline(task, p, y, w)
    name = task.kind.metrics[0]
    assert moved.standard_error() == pytest.approx(found[name]["standard_error"])


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.loss)
def test_an_epoch_of_training_has_the_first_error(task):
    p, y, _ = rows()
    both = [task, Task("click")]
    z, labels = jnp.stack([p, p], 1), jnp.stack([y, y > 0], 1)
    each = np.asarray(streaming.example_errors(z, labels, both))
    name = errors.MEANS[task.loss][0]
    wanted = exact.measure(task, p, y, np.ones(53))[name]
    assert each[:, 0].mean() == pytest.approx(wanted, rel=1e-5)
    measured = errors.measured({name: wanted}, 53)
    power = errors.POWERS[name]
    assert streaming.loss_of(measured, 2.0) == pytest.approx(wanted / 2**power)
    assert each[:, 1].mean() == pytest.approx(np.mean(np.logaddexp(0, p) - p * (y > 0)))


def test_every_loss_of_numbers_has_means():
    assert {k for k, v in LOSSES.items() if v.link != "probability"} == {*errors.MEANS}


def test_the_worst_coverage_is_the_farthest_from_its_quantile():
    assert worst("coverage_gap", [-0.3, None, 0.2]) == -0.3


def test_a_chance_of_both_is_measured_over_all_examples():
    tasks = (Task("click"), Task("buy", given="click", entire_space=True))
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=(61, 2)), rng.integers(0, 2, (61, 2)).astype(float)
    seen = np.c_[np.ones(61, bool), y[:, 0] == 1]
    y[:, 1] *= seen[:, 1]
    found = joint.report(z, y, seen, None, tasks)
    p = np.prod(special.expit(z), axis=1)
    bought = y[:, 0] * y[:, 1]
    assert list(found) == ["buy_and_click"]
    one = found["buy_and_click"]
    assert one["examples"] == 61
    assert one["auc_roc"] == pytest.approx(sk.roc_auc_score(bought, p))
    assert one["log_loss"] == pytest.approx(sk.log_loss(bought, p))
    alone = (tasks[0], dataclasses.replace(tasks[1], entire_space=False))
    assert joint.report(z, y, seen, None, alone) == {}
