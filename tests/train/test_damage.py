"""Runs whose checkpoints are damaged or gone: an older one, or a clear error."""

import json
import pathlib
import shutil

import pytest
from lib.training import (
    StopAfter,
    assert_same,
    call,
    final_state,
    new_run,
    records,
)

from ple_jax.runs.directory import open_run
from ple_jax.runs.journal import Journal
from ple_jax.train import loop


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that was never stopped."""
    run = new_run(data, tmp_path_factory.mktemp("whole") / "run")
    loop.fit(run)
    return run


@pytest.fixture(scope="module")
def stopped(data, tmp_path_factory):
    """One that was stopped within its second epoch: it has a best and a newest."""
    run = new_run(data, tmp_path_factory.mktemp("stopped") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "ahead", lambda items: items)
        StopAfter(patch, 7)
        with pytest.raises(loop.Stopped):
            loop.fit(run)
    assert len(steps(run.checkpoints)) == 2
    return run


@pytest.fixture
def copy(stopped, tmp_path):
    """A copy of it, to damage."""
    shutil.copytree(stopped.directory, tmp_path / "run")
    return open_run(tmp_path / "run")


def steps(folder):
    return sorted((path for path in folder.iterdir()), key=lambda path: int(path.name))


def emptied(item):
    """(checkpoint) -> all files of this item are empty."""

    def empty(checkpoint):
        for path in (checkpoint / item).rglob("*"):
            if path.is_file():
                path.write_bytes(b"")

    return empty


def half_deleted(checkpoint):
    for path in checkpoint.iterdir():
        if path.name != "metrics":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


DAMAGE = {
    "variables gone": lambda path: shutil.rmtree(path / "variables"),
    "training gone": lambda path: shutil.rmtree(path / "training"),
    "progress gone": lambda path: shutil.rmtree(path / "progress"),
    "variables empty": emptied("variables"),
    "training empty": emptied("training"),
    "progress empty": emptied("progress"),
    "half deleted": half_deleted,
}
damages = pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)


@damages
def test_the_older_checkpoint_is_taken_with_a_warning(damage, copy, whole, capsys):
    newest = steps(copy.checkpoints)[-1]
    damage(newest)
    result = loop.fit(copy, resume=True)
    said = capsys.readouterr().err
    assert f"warning: {newest} cannot be read" in said
    assert (copy.checkpoints / f"{newest.name}.damaged").is_dir()
    assert result == whole.result
    first, note, *rest = records(copy)
    assert [first, *rest] == records(whole)
    assert note["step"] == first["step"]
    assert f"{newest} " in note["fallback"]["faults"][0]
    assert_same_end(copy, whole)


def assert_same_end(one, other):
    """The same newest state and progress, but for what the journals say."""
    (state, progress), (wanted, of_whole) = final_state(one), final_state(other)
    assert_same(state, wanted)
    del progress["journals"], of_whole["journals"]
    assert progress == of_whole


def test_a_whole_checkpoint_is_taken_without_one(copy, whole, capsys):
    assert loop.fit(copy, resume=True) == whole.result
    assert "warning" not in capsys.readouterr().err


@damages
def test_no_checkpoint_that_can_be_read_is_an_error(damage, copy, capsys):
    both = steps(copy.checkpoints)
    for path in both:
        damage(path)
    assert call("train", "--resume", "--run-dir", copy.directory) == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert str(copy.checkpoints) in said
    assert steps(copy.checkpoints) == both


def test_a_best_checkpoint_that_cannot_be_read_is_named(copy, capsys):
    best = steps(copy.checkpoints)[0]
    shutil.rmtree(best / "variables")
    assert call("evaluate", copy.directory) == 2
    assert f"{best} cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("gone", ["the folder", "what is in it"])
def test_a_run_without_its_checkpoints_does_not_start_over(gone, whole, tmp_path):
    shutil.copytree(whole.directory, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    shutil.rmtree(folder)
    if gone == "what is in it":
        folder.mkdir()
    journal = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match="has 3 epochs, but no checkpoint is left"):
        loop.fit(open_run(tmp_path / "run"), resume=True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == journal


def test_a_stop_before_the_first_checkpoint_starts_over_and_says_so(
    copy, whole, capsys
):
    assert len(records(copy)) == 1
    shutil.rmtree(copy.checkpoints)
    assert loop.fit(copy, resume=True) == whole.result
    assert "before its first checkpoint" in capsys.readouterr().err


def test_an_epoch_is_written_down_after_the_checkpoint_before_it(
    data, tmp_path, monkeypatch
):
    """Without this, a stop could leave a journal that refuses to resume."""
    seen, write = [], Journal.write
    run = new_run(data, tmp_path / "run")

    def noting(journal, record):
        found = [p.name for p in pathlib.Path(run.checkpoints).iterdir()]
        seen.append([name for name in found if name.isdecimal()])
        write(journal, record)

    monkeypatch.setattr(Journal, "write", noting)
    loop.fit(run)
    (first, *_) = map(json.loads, run.metrics.read_text().splitlines())
    assert seen[0] == []
    assert seen[1] == [str(first["step"])]
