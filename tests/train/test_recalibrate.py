"""Recalibration in a run: fitted on validation, and applied wherever it predicts."""

import numpy as np
import pytest
from lib.scored import TASKS, many
from lib.training import call, new_run
from scipy.special import expit

from ple_jax.data.examples import Examples
from ple_jax.data.loader import batches_in_order
from ple_jax.metrics.curves import auc_roc
from ple_jax.metrics.recalibration import Isotonic, Platt
from ple_jax.runs.directory import open_run
from ple_jax.serve.ensemble import load_ensemble
from ple_jax.serve.files import load_scorer
from ple_jax.studies.sides import sides_of
from ple_jax.train import loop, recalibrate
from ple_jax.train.recalibrate import fit, of_runs, to_record

KIND = {"kind": "shared_bottom"}


def examples(labels, observed, weights, domain):
    none = np.zeros((len(labels), 0), np.int32)
    return Examples(none, {}, none, domain, labels, observed, weights)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_scores_keep_their_order_and_each_task_its_own_rows(method):
    logits, *rest = many(rows=997)
    found = fit(method, logits, examples(*rest), TASKS)
    (maps,) = found.runs
    assert [*maps] == ["click", "buy"]  # not a number
    new = found(logits, rest[3])
    np.testing.assert_array_equal(new[:, 2], logits[:, 2])
    labels, observed, weights = rest[:3]
    for i in range(len(maps)):
        seen = observed[:, i]
        own = logits[seen, i], labels[seen, i], weights[seen]
        alone = {"platt": Platt, "isotonic": Isotonic}[method].fit(*own)
        np.testing.assert_allclose(expit(new[:, i]), alone(logits[:, i]), rtol=1e-5)
        order = np.argsort(logits[:, i])
        assert (np.diff(new[order, i]) >= 0).all()
        before, after = (auc_roc(z[seen, i], labels[seen, i]) for z in (logits, new))
        assert after == pytest.approx(before, abs=1e-12 if method == "platt" else 0.03)
    assert np.isfinite(new).all()


def test_a_task_that_cannot_be_recalibrated_is_named_and_stays(capsys):
    logits, labels, *rest = many(rows=97)
    labels[:, 0], labels[:, 1] = 1, logits[:, 1] < 0
    found = fit("platt", logits, examples(labels, *rest), TASKS)
    assert found.runs == [{}]
    np.testing.assert_array_equal(found(logits, rest[2]), logits)
    said = capsys.readouterr().err
    for name in ("click", "buy"):
        assert f"{name} is not recalibrated: validation has one class, or ranks" in said


def test_domains_have_corrections_of_their_own():
    logits, labels, observed, weights, domain = many(rows=997)
    domain[:30] = 2  # too few rows
    rows = examples(labels, observed, weights, domain)
    found = fit("platt", logits, rows, TASKS, domains=3)
    own, new = found.runs[0]["click"], found(logits, domain)
    (whole,) = fit("platt", logits, rows, TASKS).runs[0]["click"]
    assert own[2] == whole
    for n in range(2):
        seen = observed[:, 0] & (domain == n)
        given = logits[seen, 0], labels[seen, 0], weights[seen]
        assert own[n] == Platt.fit(*given)
        wanted = own[n].logits(logits[domain == n, 0])
        np.testing.assert_allclose(new[domain == n, 0], wanted, rtol=1e-6)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """A plain run, and others with the same parameters that recalibrate."""
    folder, found = tmp_path_factory.mktemp("recalibrated"), {}
    for name, train in {
        "none": {},
        "platt": {"recalibrate": "platt"},
        "isotonic": {"recalibrate": "isotonic"},
        "other": {"recalibrate": "platt", "seed": 1},
    }.items():
        # Too fast, so that there is something to correct.
        sections = {"model": KIND, "train": {"learning_rate": 0.1, **train}}
        found[name] = new_run(data, folder / name, **sections)
        loop.fit(found[name])
    return found


def plain(runs, split="test"):
    scorer, variables = load_scorer(runs["none"])
    return scorer.of_split(variables, split)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_what_is_served_is_recalibrated(runs, method):
    run = open_run(runs[method].directory)
    raw, split = plain(runs, "validation"), run.data.split("validation")
    scorer, variables = load_scorer(run)
    z, names = plain(runs), [task.name for task in run.data.layout.tasks]
    served = scorer.of_split(variables, "test")
    fitted = {"platt": Platt, "isotonic": Isotonic}[method].fit
    for i, name in enumerate(names):
        wanted = fitted(raw[:, i], split.labels[:, i])
        np.testing.assert_allclose(expit(served[:, i]), wanted(z[:, i]), rtol=1e-4)
        (record,) = run.result["recalibration"]["tasks"][name]
        assert record == {
            k: np.asarray(v).tolist() for k, v in wanted._asdict().items()
        }
    before, after = runs["none"].result["test"], run.result["test"]
    for name in names:
        told = after["before"][name]
        assert told == {k: before["tasks"][name][k] for k in recalibrate.TOLD}
        assert after["tasks"][name]["log_loss"] < told["log_loss"]
        if method == "platt":
            assert after["tasks"][name]["auc_roc"] == before["tasks"][name]["auc_roc"]
    found = scorer.report(variables, "test")
    assert {k: v for k, v in found.items() if k != "intervals"} == after
    assert run.result["step"] == runs["none"].result["step"]
    (side,) = sides_of([run.directory])
    np.testing.assert_array_equal(side.logits("test")[:, 0], served)
    assert "before" not in before


def test_calibration_is_told_before_and_after(runs, capsys):
    run = runs["platt"].directory
    assert not call("evaluate", run)
    said = capsys.readouterr().out
    assert "test, recalibration" in said
    assert "ECE before" in " ".join(said.split())
    assert not call("evaluate", runs["none"].directory)
    assert "recalibration" not in capsys.readouterr().out


def test_several_runs_are_recalibrated_each_by_itself(runs):
    pair = [runs["platt"], runs["other"]]
    scorer, variables = load_ensemble(pair)
    rows = scorer.data.split("test")
    found = scorer.logits(variables, batches_in_order(rows, scorer.batch_size))
    each = [load_scorer(run) for run in pair]
    wanted = np.mean([s.of_split(v, "test") for s, v in each], axis=0)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert "before" in scorer.report(variables, "test")
    mixed = [runs["none"], runs["other"]]
    scorer, variables = load_ensemble(mixed)
    own = [load_scorer(run) for run in mixed]
    wanted = np.mean([s.of_split(v, "test") for s, v in own], axis=0)
    np.testing.assert_allclose(scorer.of_split(variables, "test"), wanted, atol=1e-5)


def test_an_unfinished_run_says_that_it_is_not_recalibrated(data, tmp_path, capsys):
    run = new_run(data, tmp_path / "run", model=KIND, train={"recalibrate": "platt"})
    assert of_runs([run]) is None
    assert "not recalibrated, since it is not finished" in capsys.readouterr().err


def test_a_record_is_plain():
    logits, *rest = many(rows=97)
    found = fit("isotonic", logits, examples(*rest), TASKS)
    record = to_record(found, "isotonic")
    assert record["method"] == "isotonic"
    points = record["tasks"]["click"][0]["points"]
    assert isinstance(points, list)
    assert isinstance(points[0], float)
