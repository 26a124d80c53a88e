"""Two processes at once: each is right or refused."""

import json
import shutil

import pyarrow.csv
import pytest
from lib.attempts import attempt, is_refused
from lib.snapshots import differences, held
from lib.tables import raw, write_csv

from ple_jax.data.store import Prepared


def both(shared, *commands):
    """Runs commands at the same time; how each ended."""
    running = [shared.start(*c, said=f"said-{i}") for i, c in enumerate(commands)]
    ended = [process.end() for process in running]
    for one in ended:
        assert one.status == 0 or is_refused(one), one.said
    assert any(one.status == 0 for one in ended), ended
    return ended


@pytest.mark.drawn(2)
def test_two_resume_one_run(seed, shared, stopped, whole, tmp_path):
    run = shutil.copytree(stopped, tmp_path / "run")
    both(shared, *[("train", "--resume", "--run-dir", run)] * 2)
    assert differences(held(run), whole("lone").held) == []


@pytest.mark.drawn(2)
def test_two_train_into_one_directory(seed, shared, whole, tmp_path):
    run = tmp_path / "run"
    both(shared, *[("train", shared.experiment, "--run-dir", run)] * 2)
    assert differences(held(run), whole("lone").held) == []
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.drawn(3)
@pytest.mark.parametrize("overwrite", [False, True])
def test_two_predict_into_one_file(overwrite, seed, shared, whole, tmp_path):
    run, out, sizes = whole("lone").directory, tmp_path / "out" / "s.csv", (499, 1201)
    out.parent.mkdir()
    alone, commands = [], []
    for size in sizes:
        rows = tmp_path / f"{size}.csv"
        write_csv(rows, raw(size))
        scores = tmp_path / f"{size}-scores.csv"
        assert attempt("predict", run, rows, "--out", scores).status == 0
        alone.append(pyarrow.csv.read_csv(scores))
        replacing = ["--overwrite"] * overwrite
        commands.append(("predict", run, rows, "--out", out, *replacing))
    ended = both(shared, *commands)
    succeeded = [scores for scores, e in zip(alone, ended, strict=True) if not e.status]
    assert len(succeeded) == 2 if overwrite else 1
    assert any(pyarrow.csv.read_csv(out).equals(scores) for scores in succeeded)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.drawn(3)
@pytest.mark.parametrize("place", ["out", "cache"])
def test_two_prepare_in_one_place(place, seed, shared, tmp_path, monkeypatch):
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    asked = ["--out", tmp_path / "out"] if place == "out" else []
    ended = both(shared, *[("prepare", shared.experiment, *asked)] * 2)
    if place == "cache":
        assert [one.status for one in ended] == [0, 0]
    made = [path.parent for path in tmp_path.rglob("dataset.json")]
    assert len(made) == 1
    assert [path.name for path in made[0].parent.iterdir()] == [made[0].name]
    Prepared.open(made[0]).verify()


@pytest.mark.drawn(1)
def test_evaluating_while_training_writes(seed, shared, stopped, whole, tmp_path):
    """Each answer is that of a whole epoch: of its validation, as in the journal."""
    run, seen = shutil.copytree(stopped, tmp_path / "run"), 0
    journal = (whole("lone").directory / "metrics.jsonl").read_text().splitlines()
    known = [json.loads(line)["validation"]["tasks"] for line in journal]
    training = shared.start("train", "--resume", "--run-dir", run)
    while training.process.is_alive() or not seen:
        tried = attempt("evaluate", run, "--split", "validation", "--json")
        assert tried.status == 0 or is_refused(tried), tried
        if tried.status == 0:
            assert json.loads(tried.out)["tasks"] in known
            seen += 1
    assert training.end().status == 0
