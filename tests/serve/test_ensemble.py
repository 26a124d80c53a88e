"""Several trials as one: the mean of their logits, through the sigmoid afterwards."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from lib.tables import raw
from lib.training import TINY, call

import ple_jax
from ple_jax.data.loader import batches_in_order
from ple_jax.runs.directory import open_run
from ple_jax.serve.ensemble import grouped, load_ensemble
from ple_jax.serve.files import load_scorer
from ple_jax.studies.best import best_members


@pytest.fixture(scope="module")
def study(folder, tmp_path_factory):
    """Two seeds at each of two rates, the second of which hardly learns."""
    data = open_run(folder / "run").data
    return ple_jax.fit(
        data,
        model={"kind": "shared_bottom", "expert_dims": [5], "tower_dims": [3]},
        inputs=TINY["inputs"],
        train={**TINY["train"], "epochs": 2, "learning_rate": 0.01},
        sweep={"train": {"learning_rate": [1e-9, 0.02]}},
        seeds=2,
        run_dir=tmp_path_factory.mktemp("study") / "run",
    )


def logits_of(loaded, split="test"):
    scorer, variables = loaded
    examples = scorer.data.split(split)
    return scorer.logits(variables, batches_in_order(examples, scorer.batch_size))


def test_logits_are_the_mean_of_each_runs(study):
    """Of four runs, in two programs of two: equal within rounding."""
    members = [trial.run for trial in study.trials.values()]
    assert grouped(members) == [[0, 1], [2, 3]]
    each = [logits_of(load_scorer(run)).astype(np.float64) for run in members]
    assert np.abs(each[0] - each[1]).max() > 0.01
    found = logits_of(load_ensemble([members[i] for i in (2, 0, 3)]))
    np.testing.assert_allclose(found, np.mean(np.array(each)[[2, 0, 3]], 0), atol=1e-6)


def test_a_single_run_is_scored_as_it_is(study):
    run = next(iter(study.trials.values())).run
    found, wanted = logits_of(load_ensemble([run])), logits_of(load_scorer(run))
    np.testing.assert_array_equal(found, wanted)


def test_the_members_are_the_trials_of_the_best_point(study):
    points = {}
    for name, trial in study.trials.items():
        points.setdefault(name.partition(",seed")[0], []).append(trial.score)
    wanted = max(points, key=lambda point: np.mean(points[point]))
    names = [run.directory.name for run in best_members(study.directory)]
    assert names == [f"{wanted},seed=0", f"{wanted},seed=1"]


def test_python_and_the_command_line_score_by_it(study, folder, tmp_path, capsys):
    together = study.ensemble
    members = [ple_jax.open(run.directory) for run in together.members]
    found = np.array(together.predict(raw())["stars"], np.float64)
    chances = np.array([run.predict(raw())["stars"] for run in members], np.float64)
    mean = np.mean(np.log(chances / (1 - chances)), axis=0)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-mean)), atol=1e-6)
    assert np.abs(found - chances[0]).max() > 1e-4

    out = tmp_path / "scores.parquet"
    asked = (study.directory, folder / "rows.csv", "--ensemble", "--out", out)
    assert call("predict", *asked) == 0
    np.testing.assert_array_equal(pq.read_table(out)["stars"], np.float32(found))
    capsys.readouterr()
    assert call("evaluate", study.directory, "--ensemble", "--json") == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured.pop("trials") == 2
    assert measured == json.loads(json.dumps(together.evaluate()))
    logits, data = logits_of(together._scorer), together.data
    labels, seen = data.split("test").labels[:, 0], data.split("test").observed[:, 0]
    z, y = logits[seen, 0].astype(np.float64), labels[seen]
    weights = data.split("test").weights[seen]
    loss = np.average(np.logaddexp(0, z) - y * z, weights=weights)
    assert measured["tasks"]["click"]["log_loss"] == pytest.approx(loss, rel=1e-6)


def test_what_is_no_study_has_no_ensemble(study, folder, capsys):
    with pytest.raises(ValueError, match="is one run: an ensemble needs"):
        _ = ple_jax.open(folder / "run").ensemble
    assert call("evaluate", folder / "run", "--ensemble") == 2
    assert "--train.seeds 5" in capsys.readouterr().err
    assert call("evaluate", study.directory) == 2
    assert "--ensemble" in capsys.readouterr().err
