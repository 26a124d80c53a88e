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
from ple_jax.train import evaluate, loop
from ple_jax.train.evaluate import Scorer, chosen_metric, resolve_metric, score_of

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
        ("macro:auto", (CLICK, TIME), "macro:auc_roc"),
        ("worst:auto/time", (CLICK, TIME), "worst:rmse/time"),
        ("worst:auc_roc/a:b/macro", (Task("a:b/macro"),), "worst:auc_roc/a:b/macro"),
        ("auc_roc/worst", (Task("worst"),), "auc_roc/worst"),
        ("certain:auto", (TIME, CLICK), "certain:auc_roc"),
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
        (
            "marco:auc_roc",
            (CLICK,),
            "mean over domains or tasks.* Did you mean 'macro'",
        ),
        (":auc_roc", (CLICK,), "Known: macro, worst, certain"),
        ("macro:auc_rok", (CLICK,), "Did you mean 'auc_roc'"),
        ("auc_roc/worst", (CLICK,), "a mean over domains is worst:auc_roc"),
        ("certain:rmse", (CLICK, TIME), "'rmse' is not a known metric of click"),
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


def test_a_task_of_one_class_has_no_say_in_a_certain_mean():
    click = {"auc_roc": 0.75, "positives": 30, "examples": 100}
    buy = {"auc_roc": None, "positives": 0, "examples": 100}
    tasks = {"click": click, "buy": buy, "time": {"rmse": 3.0, "examples": 100}}
    assert chosen_metric({"tasks": tasks}, "certain:auc_roc") == 0.75
    with pytest.raises(ValueError, match="for buy: it needs examples of both classes,"):
        chosen_metric({"tasks": {"buy": buy}}, "certain:auc_roc")


def of_domains(*each):
    """A report of the tasks click and time in these domains."""
    domains = [
        {"click": {"auc_roc": auc, "examples": 3}, "time": {"rmse": error}}
        for auc, error in each
    ]
    return {"tasks": domains[0], "domains": dict(enumerate(domains))}


def test_over_domains_each_counts_once_and_the_undefined_do_not():
    measured = of_domains((0.75, 3.0), (None, 5.0), (0.5, 1.0))
    assert chosen_metric(measured, "macro:auc_roc") == 0.625
    assert chosen_metric(measured, "worst:auc_roc/click") == 0.5
    assert chosen_metric(measured, "macro:rmse") == 3
    assert chosen_metric(measured, "worst:rmse/time") == 5
    assert score_of(5, "worst:rmse/time") == -5
    assert score_of(5, "worst:auc_roc") == 5


def test_the_worst_domain_of_each_task_is_its_own():
    click, buy = {"auc_roc": 0.75}, {"auc_roc": 0.5}
    domains = {0: {"click": click, "buy": buy}, 1: {"click": buy, "buy": click}}
    measured = {"tasks": domains[0], "domains": domains}
    assert chosen_metric(measured, "worst:auc_roc") == 0.5


def test_a_metric_that_no_domain_has_names_the_task():
    with pytest.raises(ValueError, match=r"for click: .*both classes in some domain"):
        chosen_metric(of_domains((None, 1.0)), "macro:auc_roc")


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


def test_few_batches_are_on_the_device_at_once(monkeypatch):
    sent, fetched = [], []

    def score(_, batch):
        sent.append(batch)
        assert len(sent) - len(fetched) <= evaluate.AHEAD + 1
        return batch

    def fetch(logits):
        fetched.append(logits)
        return logits

    monkeypatch.setattr(evaluate, "fetched_by_first", fetch)
    monkeypatch.setattr(Scorer, "_placed", lambda _, batch: batch)
    batches = ((np.full((3, 1), i), 3 if i < 22 else 2) for i in range(23))
    logits = Scorer(score, mesh=None, data=None, batch_size=3).plain_logits({}, batches)
    np.testing.assert_array_equal(logits[:, 0], np.repeat(np.arange(23), 3)[:-1])


def test_a_schema_of_numbers_alone_trains_by_default(tmp_path):
    number = np.random.default_rng(0).normal(size=700)
    rows = pa.table({"x": number, "time": 3 * number + 1})
    schema = Schema((Field("x", "numeric", ("standard",)),), (TIME,), Split())
    data = prepare(source(rows, schema), tmp_path / "prepared")
    chosen = new_run(data, tmp_path / "run", train={"metric": "auto"})
    result = loop.fit(chosen)
    measured = result["validation"]["tasks"]["time"]["rmse"]
    assert 0 < measured < 3  # the deviation of the labels
    last = json.loads(chosen.metrics.read_text().splitlines()[-1])
    assert (last["metric"], last["score"]) == (measured, -measured)
