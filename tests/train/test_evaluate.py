"""Which metric chooses the best epoch, and what its mistakes say."""

import json

import numpy as np
import pyarrow as pa
import pytest
from lib.tables import source
from lib.training import new_run

from ple_jax.data.prepare import prepare
from ple_jax.layout import Layout
from ple_jax.schema import Field, Schema, Split, Task
from ple_jax.train import loop
from ple_jax.train.evaluate import chosen_metric, resolve_metric

CLICK, TIME, SHARE = (
    Task("click"),
    Task("time", loss="squared"),
    Task("share", loss="squared"),
)


def layout(*tasks):
    return Layout((), (), (), tasks, ("all",))


@pytest.mark.parametrize(
    ("metric", "tasks", "wanted"),
    [
        ("auto", (CLICK,), "auc_roc"),
        ("auto", (TIME, CLICK), "auc_roc"),
        ("auto", (TIME, SHARE), "rmse"),
        ("auto/time", (CLICK, TIME), "rmse/time"),
        ("auto/click", (TIME, CLICK), "auc_roc/click"),
        ("auc_roc", (CLICK, TIME), "auc_roc"),
        ("mse", (CLICK, TIME), "mse"),
    ],
)
def test_auto_takes_the_metric_that_fits_the_tasks(metric, tasks, wanted):
    assert resolve_metric(metric, layout(*tasks)) == wanted


@pytest.mark.parametrize(
    ("metric", "tasks", "message"),
    [
        ("auc_roc", (TIME, SHARE), "'auc_roc' is not a known metric of time, share"),
        ("rmse/click", (CLICK, TIME), "'rmse' is not a known metric of click"),
        ("auc_rok", (CLICK, TIME), "Did you mean 'auc_roc'"),
        ("rmse/tme", (CLICK, TIME), "Did you mean 'time'"),
    ],
)
def test_a_metric_that_no_task_has_is_an_error(metric, tasks, message):
    with pytest.raises(ValueError, match=message):
        resolve_metric(metric, layout(*tasks))


def test_a_mean_is_that_of_the_tasks_that_have_the_metric():
    tasks = {"click": {"auc_roc": 0.75}, "time": {"rmse": 3.0}, "buy": {"auc_roc": 0.5}}
    assert chosen_metric({"tasks": tasks}, "auc_roc") == 0.625
    assert chosen_metric({"tasks": tasks}, "auc_roc/click") == 0.75
    assert chosen_metric({"tasks": tasks}, "rmse") == 3


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("auc_roc", "for buy, like: it needs examples of both classes"),
        ("auc_roc/like", "for like: it needs examples of both classes"),
        ("rmse/time", "for time: it needs examples"),
        ("grouped_auc/click", "for click: it needs users with both classes"),
    ],
)
def test_an_undefined_metric_names_the_tasks(metric, message):
    undefined = {"auc_roc": None}
    tasks = {"click": {"auc_roc": 0.7}, "buy": undefined, "like": undefined}
    with pytest.raises(
        ValueError, match=rf"undefined on validation {message}, and finite numbers\.$"
    ):
        chosen_metric({"tasks": tasks | {"time": {"rmse": None}}}, metric)


def test_a_schema_of_numbers_alone_trains_by_default(tmp_path):
    number = np.random.default_rng(0).normal(size=700)
    rows = pa.table({"x": number, "time": 3 * number + 1})
    schema = Schema((Field("x", "numeric", ("standard",)),), (TIME,), Split())
    chosen = new_run(
        prepare(source(rows, schema), tmp_path / "prepared"), tmp_path / "run"
    )
    result = loop.fit(chosen)
    measured = result["validation"]["tasks"]["time"]["rmse"]
    assert 0 < measured < 3  # the deviation of the labels
    last = json.loads(chosen.metrics.read_text().splitlines()[-1])
    assert (last["metric"], last["score"]) == (measured, -measured)
