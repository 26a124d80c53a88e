"""Searches: what they find, how they go on, when trials end, and the honest half."""

import importlib
import json
import sys
import time

import numpy as np
import optuna
import pytest
from lib.training import TINY, call
from sklearn.metrics import roc_auc_score

from ple_jax import config
from ple_jax.config import tuning
from ple_jax.data.examples import Examples
from ple_jax.runs.directory import open_run
from ple_jax.space import Between, OneOf
from ple_jax.studies import search, tune
from ple_jax.studies.halves import Halves, choosing_rows
from ple_jax.studies.search import Search
from ple_jax.studies.tuner import Budget, Tuner
from ple_jax.train import loop
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.setup import Setup
from ple_jax.train.state import variables_of

ASKED = {
    "train.learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
    "model.expert_dims": [[7], [5]],
}
PRUNED = 2  # the number of the trial that is pruned at its second epoch


def base_of(data):
    own = {"kind": "prepared", "directory": str(data.directory)}
    model = {**TINY["model"], "kind": "shared_bottom"}
    plain = {"metric": "auc_roc", "average_decay": 0.0, "patience": 0}
    train = {**TINY["train"], **plain}
    return config.from_dict({**TINY, "data": own, "model": model, "train": train})


def prune_one(patch):
    should = lambda trial: trial.number == PRUNED and len(reports(trial)) == 2
    patch.setattr(optuna.Trial, "should_prune", should)


def reports(trial):
    return trial.study.get_trials()[trial.number].intermediate_values


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory):
    """The directory of a search of 6 trials, by the command line; trial 2 is pruned."""
    folder = tmp_path_factory.mktemp("tune")
    file, place = folder / "tiny.toml", folder / "whole"
    flags = ["--tune.train.learning-rate", "{low = 1e-4, high = 0.1, log = true}"]
    file.write_text(config.to_toml(base_of(data)))
    flags += ["--tune.model.expert-dims", "{choices = [[7], [5]]}"]
    with pytest.MonkeyPatch.context() as patch:
        prune_one(patch)
        options = ["--trials", 6, "--batch", 3, "--run-dir", place]
        assert call("tune", file, *options, *flags) == 0
    return place


def result_of(directory):
    return json.loads((directory / "result.json").read_text())


def test_the_best_of_all_trials_is_kept(searched, data):
    result = result_of(searched)
    trials, best = result["trials"], result["best"]
    assert sorted(trials) == list("012345")
    assert trials["0"]["values"] == {}
    assert result["start"]["trial"] == 0
    whole = {k: row["metric"] for k, row in trials.items() if not row["pruned"]}
    assert best["validation"] == max(whole.values()) == whole[str(best["trial"])]
    first, *_, last = trials
    assert (first, last) == (str(best["trial"]), str(PRUNED))
    kept = [p.parent.name for p in searched.glob("trials/*/checkpoints")]
    assert kept == [f"{best['trial']:05}"]
    values = trials[str(best["trial"])]["values"]
    written = config.from_dict(config.load(searched / "best.toml"))
    assert written == tuning.at(base_of(data), values)


def test_a_batch_has_one_shape_and_different_numbers(searched):
    values = [row["values"] for _, row in sorted(result_of(searched)["trials"].items())]
    for batch in (values[1:4], values[4:6]):
        assert len({str(v["model.expert_dims"]) for v in batch}) == 1
        assert len({v["train.learning_rate"] for v in batch}) == len(batch)
    for row in values[1:]:
        assert 1e-4 <= row["train.learning_rate"] <= 0.1
        assert row["model.expert_dims"] in ([7], [5])


def test_a_pruned_trial_stops(searched):
    row = result_of(searched)["trials"][str(PRUNED)]
    assert row["pruned"]
    assert row["epochs"] == 2
    journals = [
        len((place / "metrics.jsonl").read_text().splitlines())
        for place in sorted((searched / "trials").iterdir())
    ]
    assert journals == [3, 3, 2, 3, 3, 3]


def test_the_estimate_is_of_rows_that_chose_nothing(searched, data):
    best = result_of(searched)["best"]
    run = open_run(searched / "trials" / f"{best['trial']:05}")
    setup = Setup([run.experiment], data)
    with Checkpoints(run.checkpoints, read_only=True) as checkpoints:
        variables = checkpoints.restore_variables(variables_of(setup.trainer.init()))
    logits, split = (
        setup.scorer.of_split(variables, "validation"),
        data.split("validation"),
    )
    chooses = choosing_rows(split)
    for half, rows in (("validation", chooses), ("estimate", ~chooses)):
        aucs = [roc_auc_score(split.labels[rows, t], logits[rows, t]) for t in (0, 1)]
        assert best[half] == pytest.approx(np.mean(aucs), abs=1e-6)
    assert best["estimate"] != pytest.approx(best["validation"], abs=1e-4)
    assert "test" not in run.result


def test_a_search_that_is_broken_off_ends_the_same(
    searched, data, tmp_path, monkeypatch
):
    prune_one(monkeypatch)
    fit, calls = loop.fit_group, []

    def dies(*arguments, **options):
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(*arguments, **options)

    place = tmp_path / "broken"
    tune.create(place, base_of(data), ASKED, data)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "fit_group", dies)
        with pytest.raises(KeyboardInterrupt):
            tune.tune(place, Budget(6), batch=3)
    assert (place / "trials" / "00001").is_dir()
    # Trials 1 to 3 were under way: their points come again, as 4 to 6.
    again = {k: str(int(k) + 3 * (k != "0")) for k in "012345"}
    should = lambda trial: trial.number == PRUNED + 3 and len(reports(trial)) == 2
    monkeypatch.setattr(optuna.Trial, "should_prune", should)
    assert (
        call("tune", "--resume", "--run-dir", place, "--trials", 6, "--batch", 3) == 0
    )
    got, wanted = result_of(place), result_of(searched)
    renamed = {again[k]: row for k, row in wanted["trials"].items()}
    assert list(got["trials"].items()) == list(renamed.items())
    assert got["best"] | {"trial": 0} == wanted["best"] | {"trial": 0}
    assert not (place / "trials" / "00001").exists()
    assert (place / "best.toml").read_text().splitlines()[3:] == (
        (searched / "best.toml").read_text().splitlines()[3:]
    )


def test_time_that_is_up_ends_the_trials_with_their_epoch(data, tmp_path):
    tune.create(tmp_path / "s", base_of(data), ASKED, data)
    result = tune.tune(tmp_path / "s", Late(time.monotonic()))
    assert [row["epochs"] for row in result["trials"].values()] == [1]
    assert not result["trials"]["0"]["pruned"]


class Late(Budget):
    """A budget whose time is up once a trial has begun."""

    def __init__(self, now):
        super().__init__()
        self.__dict__["asked"] = 0

    @property
    def is_late(self):
        self.__dict__["asked"] += 1
        return self.asked > 1


def test_a_point_that_cannot_be_trained_is_said_and_left_out(
    data, tmp_path, monkeypatch, capsys
):
    base, place = base_of(data), tmp_path / "s"
    with pytest.raises(ValueError, match=r"tune\.train\.batch_size has 4096: "):
        tune.create(place, base, {"train.batch_size": [32, 64, 4096]}, data)
    assert not place.exists()
    tune.create(place, base, {"train.batch_size": [32, 64, 128]}, data)
    point = {"train.batch_size": 4096}
    monkeypatch.setattr(Search, "point", lambda self, params: params and point)
    monkeypatch.setattr(loop, "fit_group", lambda runs, folder, ends: score(ends))
    tuner = Tuner(place, Budget(2), "median")
    tuner.try_batch(1)
    tuner.try_batch(1)
    assert "trial 1 cannot be trained" in capsys.readouterr().err
    assert [t.state.name for t in tuner.search.ended] == ["COMPLETE", "PRUNED"]
    assert tuner.search.best.number == 0


def score(ends):
    ends(0, {"score": 0.5, "epoch": 2})


def test_choices_too_large_for_the_data_are_left_out(data):
    base, seen = base_of(data), Halves.of(data)
    ranges = {"train.batch_size": OneOf(64, 128, 2048), "train.epochs": Between(1, 2)}
    fitting = tune.fitting(base, ranges, seen)
    assert fitting == {**ranges, "train.batch_size": OneOf(64, 128)}


def test_other_commands_say_what_the_directory_is(searched, capsys):
    assert call("evaluate", searched) == 2
    assert "holds 6 trials" in capsys.readouterr().err
    assert call("tune", searched.parent / "tiny.toml", "--run-dir", searched) == 2
    assert "not empty" in capsys.readouterr().err
    assert call("tune", "--resume", "--run-dir", searched / "trials" / "00000") == 2
    assert "no search" in capsys.readouterr().err
    file = searched.parent / "tiny.toml"
    assert call("tune", file, "--tune.train.learning-rat", "1e-3", "1e-2") == 2
    assert "Did you mean 'learning_rate'?" in capsys.readouterr().err
    assert not list(searched.parent.glob("runs"))


# Without training.


def examples_of(labels, observed=None, user=None):
    count = len(labels)
    shape = np.zeros((count, 1), np.float32)
    observed = np.ones_like(labels, bool) if observed is None else observed
    ones = np.ones(count, np.float32)
    domain = np.zeros(count, np.int32)
    return Examples(shape, {}, shape, domain, labels, observed, ones, user)


def test_halves_have_as_many_of_each_label():
    labels = np.zeros((1009, 2), np.float32)
    labels[:23, 0] = labels[10:41, 1] = 1
    chooses = choosing_rows(examples_of(labels))
    assert abs(chooses.sum() - 504.5) <= 2.5
    assert abs(labels[chooses].sum(0) - labels[~chooses].sum(0)).max() <= 2
    assert (chooses == choosing_rows(examples_of(labels))).all()


def test_a_user_is_in_one_half():
    user = np.random.default_rng(0).integers(0, 101, 1009)
    chooses = choosing_rows(examples_of(np.zeros((1009, 1), np.float32), user=user))
    assert not set(user[chooses]) & set(user[~chooses])
    assert 40 <= len(set(user[chooses])) <= 60


def play(found, count, score):
    """Asks and tells, without training: score(values, epoch) of five epochs."""
    while len(found.ended) < count:
        for trial in found.ask(2):
            scores, pruned = [], False
            for epoch in range(5):
                scores.append(score(found.point(trial.params), epoch))
                trial.report(scores[-1], epoch)
                if pruned := bool(trial.should_prune()):
                    break
            found.tell(trial, scores, pruned)
    return [(t.state.name, found.point(t.params), t.value) for t in found.ended]


def quality(values, epoch):
    return 0.1 * epoch - abs(np.log10(values.get("a", 1.0)) + 2)


def test_a_search_finds_what_is_good_and_ends_early_what_is_not(tmp_path):
    space = {"a": Between(1e-4, 1.0, log=True)}
    found = Search(tmp_path / "1.db", space, seed=3)
    trials = play(found, 12, quality)
    assert abs(np.log10(trials[found.best.number][1]["a"]) + 2) < 0.4
    pruned = [values["a"] for state, values, _ in trials if state == "PRUNED"]
    assert pruned
    assert abs(np.log10(pruned) + 2).min() > 0.4
    again = Search(tmp_path / "2.db", space, seed=3)
    assert play(again, 3, quality) == trials[:3]
    del again  # and on, as another process
    assert play(Search(tmp_path / "2.db", space, seed=3), 12, quality) == trials
    other = Search(tmp_path / "3.db", space, seed=4)
    assert play(other, 3, quality)[1:] != trials[1:3]


def test_points_of_choices_alone_are_different_in_a_batch(tmp_path):
    space = {"a": OneOf((1,), (2, 3), ()), "b": OneOf(True, False), "c": Between(1, 9)}
    found = Search(tmp_path / "s.db", space, seed=0)
    values = [v for _, v, _ in play(found, 7, lambda values, epoch: 0.0)][1:]
    assert {type(v["a"]) for v in values} == {list}
    assert len({str(v) for v in values[:2]}) == 2
    assert all(1 <= v["c"] <= 9 and isinstance(v["c"], int) for v in values)


def test_without_optuna_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"pip install 'ple-jax\[tune\]'"):
        importlib.reload(search)
