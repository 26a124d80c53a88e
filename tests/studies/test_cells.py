"""Studies of several cells: trained, gone on with, written, and rechecked."""

import dataclasses
import os
import subprocess
import sys
import time

import pytest
from lib.training import TINY, call

from ple_jax import config
from ple_jax.config import study as plans
from ple_jax.config import toml_value
from ple_jax.config.values import read_toml
from ple_jax.metrics.paired import gain
from ple_jax.studies import cells, findings, processes, recheck, results
from ple_jax.studies.findings import Difference, Row
from ple_jax.studies.tidy import tidy

AXES = """
[axes.size]
small = {data = {examples = 700}}
[axes.model]
single_task.model.kind = "single_task"
shared_bottom.model.kind = "shared_bottom"
"""


def study_toml():
    """A study of two cells, with two seeds each, of the tiny experiment."""
    base = {**TINY, "train": {**TINY["train"], "epochs": 1, "seeds": 2}}
    base["model"] = {"tower_dims": [5]}
    lines = ["[study]", 'title = "Which | one?"']
    for section, knobs in base.items():
        lines.append(f"[base.{section}]")
        lines += [f"{name} = {toml_value(value)}" for name, value in knobs.items()]
    return "\n".join(lines) + AXES


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study file, and the directory of the study, by `ple-jax`."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.toml").write_text(study_toml())
    directory = folder / "run"
    first = plans.load(folder / "study.toml").cells[0]
    cells.create(directory, folder / "study.toml")
    cells.train(directory, first, 0)  # the others are left for --resume
    file = folder / "study.toml"
    assert not call("study", file, "--resume", "--run-dir", directory, "--out", folder)
    return folder, directory


def test_a_study_goes_on_with_the_cells_that_are_left(finished):
    folder, directory = finished
    plan = plans.load(folder / "study.toml")
    done = cells.finished(directory, plan)
    assert list(done) == ["small,single_task", "small,shared_bottom"]
    rows = findings.rows(plan, done)
    assert {row.seed for row in rows} == {0, 1}
    trial = done["small,shared_bottom"]["trials"]["seed=1"]
    wanted = trial["test"]["tasks"]["like"]["auc_roc"]
    name = Row(("small", "shared_bottom"), 1, "test", "", "like", "auc_roc", wanted)
    assert name in rows
    assert results.read(folder / "results.csv") == rows


def test_single_domains_have_headlines_only(finished):
    plan = plans.load(finished[0] / "study.toml")
    tasks = {"like": {"auc_roc": 0.7, "cross_entropy": 0.5}}
    report = {"tasks": tasks, "domains": {"home": tasks, "away": tasks}}
    result = {"trials": {"seed=0": {"test": report}}}
    found = findings.rows(plan, {plan.cells[0].name: result})
    wanted = ["auc_roc", "cross_entropy", "home auc_roc", "away auc_roc"]
    assert [f"{row.domain} {row.metric}".strip() for row in found] == wanted
    asked = dataclasses.replace(plan.asked, headlines_only=True)
    (row,) = findings.rows(plan._replace(asked=asked), {plan.cells[0].name: result})
    assert (row.domain, row.metric) == ("", "auc_roc")


def test_differences_are_those_of_the_paired_trials(finished):
    folder, directory = finished
    plan = plans.load(folder / "study.toml")
    done = cells.finished(directory, plan)
    score = lambda cell, task: [
        trial["test"]["tasks"][task]["auc_roc"]
        for trial in done[cell]["trials"].values()
    ]
    for one in findings.differences(directory, plan, done):
        assert (one.beside, one.choice) == (("small",), "shared_bottom")
        pair = (
            score("small,shared_bottom", one.task),
            score("small,single_task", one.task),
        )
        wanted = gain("binary", *pair)
        assert one.found["mean"] == pytest.approx(wanted["mean"], abs=1e-12)
        assert one.found["over_seeds"] == pytest.approx(wanted["over_seeds"], abs=1e-12)
        low, high = one.found["interval"]
        assert low < one.found["over_rows"][0] < one.found["over_rows"][1] < high
        assert 0 <= one.p <= 1


def test_the_tidy_table_has_a_column_for_each_axis(finished):
    _, directory = finished
    frame = tidy(directory).to_pandas()
    assert list(frame.columns[:4]) == ["run", "size", "model", "seed"]
    found = frame[frame.best & (frame.split == "test")]
    by = ["size", "model", "seed", "domain", "task", "metric"]
    plan = plans.load(directory / "study.toml")
    rows = findings.rows(plan, cells.finished(directory, plan))
    wanted = {(*r.cell, r.seed, *r[3:6]): r.value for r in rows if r.split == "test"}
    assert found.set_index(by).value.to_dict() == wanted


def test_the_page_says_what_was_asked_and_found(finished):
    folder, directory = finished
    page = (folder / "results.md").read_text()
    assert page == (directory / "results.md").read_text()
    assert page.startswith("# Which | one?\n")
    assert "| size | task | single\\_task | shared\\_bottom |" in page
    assert "shared_bottom beside single_task, of 2 comparisons" in page


def test_committed_results_are_near_those_of_a_short_run(finished):
    folder, _ = finished
    compared, off = recheck.recheck(folder)
    assert (compared, off) == (8, [])  # 2 cells, 2 splits, 2 tasks


def test_a_number_that_was_changed_is_found(finished, tmp_path, capsys):
    folder, _ = finished
    (tmp_path / "study.toml").write_bytes((folder / "study.toml").read_bytes())
    rows = results.read(folder / "results.csv")
    at = next(
        i for i, r in enumerate(rows) if (r.split, r.metric) == ("test", "auc_roc")
    )
    rows[at] = rows[at]._replace(value=rows[at].value + 0.9)
    (tmp_path / "results.csv").write_text(results.as_csv(("size", "model"), rows))
    assert call("study", "--check", tmp_path) == 1
    said = capsys.readouterr().err
    assert "7 of 8 numbers as recorded" in said
    assert "small, single_task, test, click, auc_roc of seed 0" in said


def test_no_directory_of_another_study_is_gone_on_with(finished, tmp_path, capsys):
    _, directory = finished
    other = tmp_path / "study.toml"
    other.write_text(study_toml().replace("700", "701"))
    assert call("study", other, "--resume", "--run-dir", directory) == 2
    assert "is of another study" in capsys.readouterr().err
    assert call("study", other, "--run-dir", directory) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Name a study"),
        (["a.toml"], "There is no study file 'a.toml'"),
        (["a.toml", "--check", "b"], "name no STUDY.toml"),
        (["a.toml", "--resume"], "--resume needs --run-dir"),
        (["a.toml", "--out", "nowhere"], "there is no folder 'nowhere'"),
        (["a.toml", "--workers", "0"], "at least 1"),
        (["--check", "nowhere"], "There is no study file"),
    ],
)
def test_mistakes_are_one_sentence(arguments, says, capsys):
    assert call("study", *arguments) == 2
    assert says in capsys.readouterr().err


def test_a_difference_counts_if_chance_does_not_explain_it():
    sign = lambda p, mean: Difference((), "a", "click", {"mean": mean}, p).sign
    assert [sign(0.04, 1), sign(0.04, -1), sign(0.06, 1), sign(None, 1)] == [
        1,
        -1,
        0,
        0,
    ]


# Commands that run at once.


def test_commands_run_at_once_and_each_has_a_log(tmp_path):
    of = lambda text, status: [sys.executable, "-c", f"print('{text}'); exit({status})"]
    commands = {"a": of("good", 0), "b": of("bad", 3), "c": of("late", 0)}
    ended = dict(processes.run_all(commands, tmp_path / "logs", 2))
    assert ended == {"a": 0, "b": 3, "c": 0}
    assert processes.last_words(tmp_path / "logs", "b") == "bad"


def test_who_stops_stops_the_commands(tmp_path):
    wait = [sys.executable, "-c", "import time; time.sleep(60)"]
    commands = {"quick": [sys.executable, "-c", ""], "a": wait, "b": wait}
    started = time.monotonic()
    for name, _ in processes.run_all(commands, tmp_path / "logs", 2):
        assert name == "quick"
        break
    assert time.monotonic() - started < 30


CALLER = """
import pathlib, sys
from ple_jax.studies import processes

waits = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
commands = {"a": [sys.executable, "-c", waits]}
list(processes.run_all(commands, pathlib.Path(sys.argv[1]), 1))
"""


def test_a_caller_that_is_told_to_stop_leaves_none_behind(tmp_path):
    caller = subprocess.Popen([sys.executable, "-c", CALLER, tmp_path])
    log, until = tmp_path / "a.txt", time.monotonic() + 30
    while not (log.is_file() and log.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    caller.terminate()
    assert caller.wait(30)
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)


def test_knobs_that_a_search_found_are_those_of_the_short_run(tmp_path, monkeypatch):
    found = {"train.learning_rate": 0.05, "model.tower_dims": (3,)}
    searched = lambda place, base, data, trials: config.with_values(base, found)
    monkeypatch.setattr(cells, "searched", searched)
    asked = study_toml().replace("[study]", "[study]\nsearch = 2")
    asked = asked.replace('single_task.model.kind = "single_task"\n', "")
    file, directory = tmp_path / "study.toml", tmp_path / "run"
    file.write_text(asked.replace("seeds = 2", "seeds = 1"))
    assert not call("study", file, "--run-dir", directory, "--out", tmp_path)
    kept = {"train.learning_rate": 0.05, "model.tower_dims": [3]}
    assert read_toml(tmp_path / "knobs.toml") == {"small,shared_bottom": kept}
    assert recheck.recheck(tmp_path) == (4, [])
    (tmp_path / "knobs.toml").write_text('["small,shared_bottom"]\n')
    assert recheck.recheck(tmp_path)[1]  # by its own knobs it is another
    (tmp_path / "knobs.toml").unlink()
    with pytest.raises(ValueError, match=r"knobs.toml does not have those of the cell"):
        recheck.recheck(tmp_path)


def test_only_a_search_needs_an_extra():
    """Without Optuna, as from the first command of the README."""
    code = (
        "import sys; sys.modules['optuna'] = None\n"
        "from ple_jax.studies import cells, findings, recheck\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
