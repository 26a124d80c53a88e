"""Calibration, gates and conflict of runs, against loops over the same rows."""

import jax
import numpy as np
import pytest
from lib.training import call, records

from ple_jax import models
from ple_jax.analysis import gates
from ple_jax.analysis.calibration import calibration
from ple_jax.analysis.conflict import (
    ALL,
    conflict_over_time,
    cosine,
    gradient_conflict,
    trained_state,
)
from ple_jax.analysis.gates import gate_use, summed, unused
from ple_jax.analysis.learning import learning_curve
from ple_jax.analysis.scored import Scored, scored
from ple_jax.data.examples import Examples
from ple_jax.data.loader import gather_batch
from ple_jax.layers.members import Members
from ple_jax.layout import Layout
from ple_jax.metrics.exact import calibration_error, sigmoid
from ple_jax.schema import Task
from ple_jax.serve.files import load_scorer
from ple_jax.train.setup import Setup
from ple_jax.train.trainer import step_of

TASKS = (Task("click"), Task("time", loss="squared"), Task("never"))


def made_up(rows=211, seed=0):
    """A split of two domains, three tasks, one of which never happens."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 3)).astype(np.float32)
    labels = np.float32(rng.random((rows, 3)) < sigmoid(logits / 2 - 1))
    labels[:, 1], labels[:, 2] = rng.normal(size=rows), 0
    none = np.zeros((rows, 0), np.int32)
    domain = rng.integers(0, 2, rows).astype(np.int32)
    observed, w = rng.random((rows, 3)) < 0.8, rng.choice([1, 2], rows)
    examples = Examples(
        none, {}, none.astype(np.float32), domain, labels, observed, np.float32(w)
    )
    return Scored(Layout((), (), (), TASKS, ("shop", "home")), examples, logits)


def test_calibration_of_each_task_and_domain():
    one, fit = made_up(), made_up(seed=1)
    found = calibration(one, fit)
    seen = one.examples.observed[:, 0]
    z, y = one.logits[seen, 0], one.examples.labels[seen, 0]
    w, home = one.examples.weights[seen], one.examples.domain[seen] == 1
    click = found["click"]
    assert click["ratio"] == pytest.approx((w @ sigmoid(z)) / (w @ y))
    assert click["deciles"]["examples"].sum() == seen.sum()
    assert click["domains"]["home"]["examples"] == home.sum()
    ratio = (w[home] @ sigmoid(z[home])) / (w[home] @ y[home])
    assert click["domains"]["home"]["ratio"] == pytest.approx(ratio)
    assert click["error"] == pytest.approx(calibration_error(z, y, w), abs=0.05)
    assert set(click["after"]) == {"platt", "isotonic"}
    assert all(of["error"] < click["error"] for of in click["after"].values())


def test_calibration_of_what_is_no_probability_or_never_happens():
    found = calibration(made_up(), made_up(seed=1))
    assert found["time"]["error"] is None
    assert found["time"]["after"] == found["never"]["after"] == {}
    assert found["never"]["ratio"] is None
    assert found["never"]["error"] > 0
    assert calibration(made_up())["click"]["after"] == {}


def test_a_runs_own_scores_are_those_of_its_table(sides):
    side = sides[0]
    for one, run in zip(scored(side, "validation"), side.runs, strict=True):
        for name, found in calibration(one).items():
            wanted = run.result["validation"]["tasks"][name]
            assert found["error"] == pytest.approx(wanted["calibration_error"])
            assert found["ratio"] == pytest.approx(wanted["calibration"], rel=1e-5)


# Gates.


def test_gate_use_is_the_mean_over_the_rows_of_each_domain():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(5), size=(53, 2))
    weights[:, 0, 3:] = 0
    weights /= weights.sum(axis=-1, keepdims=True)
    domain = rng.integers(0, 2, 53)
    parts = [
        (domain[i : i + 20], {"level/mixture": weights[i : i + 20]})
        for i in (0, 20, 40)
    ]
    (found,) = summed(parts, ["click", "buy"], ["shop", "home", "nowhere"])
    for n in range(2):
        own = weights[domain == n]
        assert found["examples"][n] == len(own)
        np.testing.assert_allclose(found["mean"][n], own.mean(axis=0))
        np.testing.assert_allclose(found["deviation"][n], own.std(axis=0))
        for g, most in enumerate((np.log(3), np.log(5))):
            each = [-sum(w * np.log(w) for w in row[g] if w > 0) for row in own]
            assert found["entropy"][n, g] == pytest.approx(np.mean(each) / most)
    assert np.isnan(found["mean"][2]).all()
    assert np.isnan(found["entropy"][2]).all()
    assert found["seen"][0].tolist() == [True] * 3 + [False] * 2


def test_names_say_who_owns_an_expert():
    own = np.array([[1, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]], bool)
    names = lambda seen: gates.names(seen, ["click", "buy"])
    experts = ["click 0", "click 1", "buy 0", "shared 0"]
    assert names(own) == (["click", "buy", "shared"], experts)
    assert names(own[:2]) == (["click", "buy"], experts)
    every = np.ones((2, 3), bool)
    assert names(every) == (["click", "buy"], ["expert 0", "expert 1", "expert 2"])
    assert names(every[:1])[0] == ["all"]
    assert names(np.ones((3, 3), bool))[0] == ["gate 0", "gate 1", "gate 2"]


def test_an_expert_that_no_gate_takes_is_named():
    weights = np.tile([[0.9, 0.08, 0.02], [0.5, 0.47, 0.03]], (7, 1, 1))
    (found,) = summed([(np.zeros(7, int), {"mixture": weights})], ["a", "b"], ["all"])
    assert unused(found) == ["expert 2"]


def test_gates_of_a_run(sides):
    run = sides[0].runs[0]
    levels = gate_use(run, rows=10**6)
    assert [level["level"] for level in levels] == ["level_0", "level_1"]
    assert levels[0]["gates"] == ["click", "like", "shared"]
    split = run.data.split("validation")
    for level in levels:
        assert level["examples"].tolist() == [len(split)]
        np.testing.assert_allclose(level["mean"].sum(axis=-1), 1, rtol=1e-5)
        assert level["seen"][:2].sum(axis=1).tolist() == [4, 4]
    step = step_of(run.experiment, run.data.layout, 1)
    batch = gather_batch(split, np.arange(len(split)))
    sown = gates.intermediates(step, load_scorer(run)[1], batch)
    wanted = np.asarray(sown["level_1"]["mixture"][0]).mean(axis=0)
    np.testing.assert_allclose(levels[1]["mean"][0], wanted, atol=1e-5)
    assert gate_use(sides[1].runs[0]) == []


def test_the_gates_of_members_are_those_of_the_first():
    model = Members(models.build("ple", num_tasks=2, num_levels=1), 3)
    x, domain = np.random.default_rng(0).normal(size=(5, 7)), np.zeros(5, np.int32)
    x = x.astype(np.float32)
    variables = model.init(jax.random.key(0), x, domain)
    sown = model.apply(variables, x, domain, mutable=["intermediates"])[1]
    found = gates.of_one_member(sown["intermediates"], 3)
    (weights,) = gates.mixtures(found).values()
    first = {"params": jax.tree.map(lambda p: p[0], variables["params"]["model"])}
    alone = model.model.apply(first, x, domain, mutable=["intermediates"])[1]
    (wanted,) = gates.mixtures(alone["intermediates"]).values()
    assert weights.shape == (5, 2, 6)
    np.testing.assert_allclose(weights, wanted, atol=1e-6)


# Conflict.


def test_conflict_is_the_cosine_of_each_tasks_own_gradients(sides):
    run = sides[0].runs[0]
    found = gradient_conflict(run, batches=1)
    setup = Setup([run.experiment], run.data)
    step = step_of(run.experiment, run.data.layout, setup.steps_per_epoch)
    state, split = trained_state(step, run), run.data.split("train")
    rng, size = np.random.default_rng(0), setup.train.batch_size
    rows = np.sort(rng.choice(len(split), size, replace=False))
    batch = gather_batch(split, rows)
    key = jax.random.fold_in(jax.random.wrap_key_data(state.seed), state.step)
    loss = lambda trained, t: step.losses(trained, state, batch, key)[0][0][t]
    grad = jax.jit(jax.grad(loss), static_argnums=1)
    one, other = (grad(state.trained, t)["model"]["level_1"]["gates"] for t in (0, 1))
    assert found["pairs"] == [("click", "like")]
    a, b = (np.ravel(g["kernel"]) for g in (one, other))
    both = (a != 0) & (b != 0)
    assert not both.any()  # each task has a gate of its own there
    assert not any("towers" in layer for layer in found["layers"])
    assert "level_1/gates" not in found["layers"]
    name = "level_0/experts/Dense_0"
    parts = [
        grad(state.trained, t)["model"]["level_0"]["experts"]["Dense_0"] for t in (0, 1)
    ]
    dots = np.zeros(3)
    for leaf in parts[0]:
        a, b = (np.float64(np.ravel(part[leaf])) for part in parts)
        both = (a != 0) & (b != 0)
        dots += a[both] @ b[both], a[both] @ a[both], b[both] @ b[both]
    wanted = dots[0] / np.sqrt(dots[1] * dots[2])
    place = found["layers"].index(name)
    assert found["mean"][place, 0] == pytest.approx(wanted, abs=1e-4)
    assert found["opposed"][place, 0] == (wanted < 0)
    assert found["layers"][-1] == ALL
    assert found["deviation"].max() == 0


def test_conflict_over_time_ends_where_the_run_does(sides):
    run = sides[0].runs[0]
    first, last = conflict_over_time(run, batches=2)
    assert (first["examples"], last["examples"]) == (0, records(run)[0]["step"] * 64)
    wanted = gradient_conflict(run, batches=2)
    assert last["layers"] == wanted["layers"]
    np.testing.assert_allclose(last["mean"], wanted["mean"], atol=1e-3)
    assert np.abs(first["mean"] - wanted["mean"]).max() > 0.01


def test_cosines():
    assert cosine(np.array([[6.0, 9.0, 4.0], [-2.0, 4.0, 4.0]])).tolist() == [1, -0.5]
    assert np.isnan(cosine(np.array([0.0, 0.0, 4.0])))


# Learning curves, and the page of them all.


def test_learning_curves_are_the_journal(sides):
    run = sides[0].runs[0]
    found = learning_curve(run)
    (record,) = records(run)
    assert found["examples"].tolist() == [record["step"] * 64]
    assert found["seconds"][0] > 0
    wanted = record["validation"]["tasks"]["like"]["auc_roc"]
    assert found["tasks"]["like"].tolist() == [wanted]
    assert found["best"].tolist() == [True]


def test_a_report_of_runs(folder, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    out = tmp_path / "report.html"
    asked = ["report", folder / "kinds", folder / "other", "--out", out]
    assert not call(*asked)
    text = out.read_text(encoding="utf-8")
    for said in (
        "against kinds kind=ple: kinds kind=shared_bottom",
        "error after Platt",
    ):
        assert said in text
    assert "could not be made" not in text
    assert "other is of another data set than kinds kind=ple" in text
    assert len(text.encode()) < 3_000_000
    assert call(*asked) == 2  # it exists
