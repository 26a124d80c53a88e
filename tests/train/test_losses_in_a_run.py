"""One run with a task of every loss: from rows to predictions in units of labels."""

import numpy as np
import pytest
from lib.training import TINY

import ple_jax
from ple_jax.data.schema_file import schema_from_tree
from ple_jax.metrics.paired import HEADLINES

TASKS = [
    {"name": "click", "positive_weight": 3.0, "smoothing": 0.02},
    {"name": "like", "loss": "focal"},
    {"name": "buy", "given": "click", "entire_space": True},
    {"name": "price", "loss": "squared", "given": "click"},
    {"name": "time", "loss": "huber", "delta": 100.0},
    {"name": "late", "loss": "quantile", "quantile": 0.9},
    {"name": "visits", "loss": "poisson"},
    {"name": "stars", "loss": "ordinal", "levels": [1, 2, 3, 4, 5]},
    {"name": "watch", "loss": "weighted_logistic"},
]
ROWS = 1511


def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS)
    shop = rng.integers(0, 3, ROWS)
    yes = lambda z: (rng.random(ROWS) < 1 / (1 + np.exp(-z))).astype(int)
    click = yes(2 * x)
    return {
        "x": x,
        "shop": [f"s{i}" for i in shop],
        "click": click,
        "like": yes(2 * x - 1),
        "buy": click * yes(2 * x - 1),
        "price": 100 * x + 500 + rng.normal(size=ROWS),
        "time": 300 + 100 * x + 20 * rng.standard_t(2, ROWS),
        "late": 5 + x + rng.exponential(size=ROWS),
        "visits": rng.poisson(20 * np.exp(0.5 * x)),
        "stars": np.clip(np.round(3 + x + 0.5 * rng.normal(size=ROWS)), 1, 5),
        "watch": yes(x - 2) * rng.exponential(600, ROWS),
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    schema = {"categorical": ["shop"], "numeric": ["x"], "tasks": TASKS}
    train = {**TINY["train"], "epochs": 5, "learning_rate": 0.02, "metric": "auto"}
    return ple_jax.fit(
        table(),
        schema,
        run_dir=tmp_path_factory.mktemp("losses") / "run",
        model={"kind": "shared_bottom", "expert_dims": [17], "tower_dims": [7]},
        inputs=TINY["inputs"],
        train=train,
    )


def test_predictions_follow_what_is_true(run):
    rows = table()
    found = {k: np.array(v) for k, v in run.predict(rows).to_pydict().items()}
    x = rows["x"]
    assert all(np.isfinite(found[task["name"]]).all() for task in TASKS)
    for name in ("click", "like", "buy", "price", "time", "late", "stars", "visits"):
        assert np.corrcoef(np.argsort(np.argsort(found[name])), x)[0, 1] > 0.7, name
    for name in ("price", "time", "visits", "stars"):
        assert found[name].mean() == pytest.approx(np.mean(rows[name]), rel=0.15), name
    # Probabilities, although positives weigh three times as much.
    assert found["click"].mean() == pytest.approx(rows["click"].mean(), abs=0.06)
    assert found["like"].mean() == pytest.approx(rows["like"].mean(), abs=0.06)
    assert np.mean(rows["late"] <= found["late"]) == pytest.approx(0.9, abs=0.06)
    odds = rows["watch"].sum() / (rows["watch"] == 0).sum()
    assert found["watch"].mean() == pytest.approx(odds, rel=0.5)
    assert (found["stars"] >= 1).all()
    assert (found["stars"] <= 5).all()
    assert (found["visits"] > 0).all()
    assert (found["watch"] > 0).all()


def test_results_have_the_metrics_of_each_loss(run):
    measured = run.result["test"]
    tasks = {task["name"]: task.get("loss", "binary") for task in TASKS}
    for name, loss in tasks.items():
        assert measured["tasks"][name][HEADLINES[loss]] is not None
    joint = measured["joint"]["buy_and_click"]
    assert joint["examples"] == measured["tasks"]["click"]["examples"]
    assert joint["examples"] > measured["tasks"]["buy"]["examples"]
    assert joint["auc_roc"] > 0.7


def test_the_run_knows_its_losses_when_it_is_opened(run):
    opened = ple_jax.open(run.directory)
    wanted = schema_from_tree({"categorical": ["shop"], "tasks": TASKS})
    assert opened.data.schema.tasks == wanted.tasks
