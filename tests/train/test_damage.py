"""Runs whose checkpoints are damaged or gone: an older one, or a clear error."""

import itertools
import json
import pathlib
import resource
import shutil
from collections import Counter

import jax
import numpy as np
import pytest
from lib.training import (
    StopAfter,
    assert_same,
    call,
    final_state,
    new_run,
    records,
    tiny,
)

from ple_jax.runs.directory import open_run
from ple_jax.runs.journal import Journal
from ple_jax.train import checksums, loop
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.setup import Setup
from ple_jax.train.state import training_of, variables_of
from ple_jax.train.storage import Storage


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
    kept = [path for path in folder.iterdir() if path.suffix[:8] != ".damaged"]
    return sorted(kept, key=lambda path: int(path.name))


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
    assert f"warning: {newest}" in said
    assert "cannot be read" in said
    assert (copy.checkpoints / f"{newest.name}.damaged").is_dir()
    assert result == whole.result
    first, note, *rest = records(copy)
    assert [first, *rest] == records(whole)
    assert note["step"] == first["step"]
    assert note["fallback"]["faults"][0].startswith(str(newest))
    assert_same(final_state(copy), final_state(whole))


def test_a_whole_checkpoint_is_taken_without_one(copy, whole, capsys):
    assert loop.fit(copy, resume=True) == whole.result
    assert "warning" not in capsys.readouterr().err


def contents(folder):
    """Path -> bytes of every file."""
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@damages
def test_the_status_tells_of_an_older_checkpoint_and_strict_refuses_it(
    damage, copy, whole, capsys
):
    newest = steps(copy.checkpoints)[-1]
    damage(newest)
    resume = ("train", "--resume", "--run-dir", copy.directory)
    before = contents(copy.directory)
    assert call(*resume, "--strict") == 2
    said = capsys.readouterr().err
    assert f"error: {newest}" in said
    assert "resume without --strict" in said
    assert contents(copy.directory) == before
    assert call(*resume) == 3
    assert copy.result == whole.result
    assert call(*resume) == 0  # nothing is damaged any more
    assert call(*resume, "--strict") == 0


def test_strict_needs_resume(capsys):
    assert call("train", "experiments/census_ple.toml", "--strict") == 2
    assert "--strict needs --resume" in capsys.readouterr().err


def test_what_a_kill_left_of_an_older_checkpoint_is_deleted(copy, whole, capsys):
    _, newest = steps(copy.checkpoints)
    left = copy.checkpoints / "3"
    shutil.copytree(newest, left)
    shutil.rmtree(left / "variables")
    loop.fit(copy, resume=True)
    assert not left.exists()
    assert "warning" not in capsys.readouterr().err
    assert_same(final_state(copy), final_state(whole))


def test_the_same_step_can_be_damaged_twice(copy):
    for name in ("26.damaged", "26.damaged-2"):
        newest = steps(copy.checkpoints)[-1]
        kept = copy.directory / "kept"
        shutil.copytree(newest, kept)
        half_deleted(newest)
        setup = Setup([copy.experiment], copy.data)
        with Checkpoints(copy.checkpoints) as checkpoints:
            checkpoints.restore(setup.trainer.init())
        assert (copy.checkpoints / f"{newest.name}{name[2:]}").is_dir()
        kept.rename(newest)


# Changed bytes.


def flipped(path, place):
    """Flips a bit of a file that is not shared."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 16
    path.unlink()
    path.write_bytes(content)


def test_damage_to_test_is_found_before_training(copy):
    """Test is scored at the very end: its bytes are read at the start all the same."""
    before = copy.metrics.read_bytes()
    flipped(copy.directory / "data" / "test" / "ids.npy", 0.9)
    with pytest.raises(ValueError, match=r"test/ids\.npy is damaged"):
        loop.fit(open_run(copy.directory), resume=True)
    assert copy.metrics.read_bytes() == before


def outcomes(run, folder, places=(0.1, 0.5, 0.9)):
    """What restoring says when one bit of the newest checkpoint is flipped.

    Yields "noticed" if an older one is taken, "harmless" if the state is the same, and
    "silent" if it is another.
    """
    like = Setup([run.experiment], run.data).trainer.init()
    with Checkpoints(run.checkpoints, read_only=True) as checkpoints:
        wanted = checkpoints.restore(like)
    newest = steps(run.checkpoints)[-1].name
    files = [p for p in (run.checkpoints / newest).rglob("*") if p.stat().st_size > 99]
    files = [p.relative_to(run.checkpoints) for p in files if p.is_file()]
    for i, (name, place) in enumerate(itertools.product(sorted(files), places)):
        one = folder / f"{i}"
        shutil.copytree(run.checkpoints, one)
        flipped(one / name, place)
        with Checkpoints(one) as checkpoints:
            found = checkpoints.restore(like)
        if found.faults:
            yield "noticed"
        else:
            same = jax.tree.map(np.array_equal, found.state, wanted.state)
            whole = all(jax.tree.leaves(same)) and found.progress == wanted.progress
            yield "harmless" if whole else "silent"
        shutil.rmtree(one)


def test_a_flipped_bit_is_noticed_or_harmless(copy, tmp_path):
    found = Counter(outcomes(copy, tmp_path / "copies"))
    assert found["silent"] == 0
    assert found["noticed"] > 9


def test_control_of_checksums_that_are_not_compared(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(checksums, "changed", lambda recorded, found: [])
    assert Counter(outcomes(copy, tmp_path / "copies"))["silent"] > 0


def test_control_of_a_save_that_skips_a_checksum(data, tmp_path, monkeypatch):
    state, of_tree = Setup([tiny()], data).trainer.init(), checksums.of_tree
    skipping = lambda *given: dict(list(of_tree(*given).items())[1:])
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        with monkeypatch.context() as patch:
            patch.setattr(checksums, "of_tree", skipping)
            checkpoints.save(state, {})
            checkpoints.wait()
        with pytest.raises(
            ValueError, match=r"0/variables is damaged: batch_stats|mod"
        ):
            checkpoints.restore(state)


def test_a_changed_record_is_noticed(copy):
    path = steps(copy.checkpoints)[-1] / "progress" / "metadata"
    text = path.read_text()
    path.write_text(text.replace('"epochs_since_best": 0', '"epochs_since_best": 1'))
    assert path.read_text() != text
    with pytest.raises(ValueError, match="progress is damaged: it has other bytes"):
        loop.fit(copy, resume=True, strict=True)


def test_a_changed_score_chooses_no_other_checkpoint(whole, tmp_path, capsys):
    shutil.copytree(whole.directory, tmp_path / "run")
    copy = open_run(tmp_path / "run")
    with Checkpoints(copy.checkpoints, read_only=True) as checkpoints:
        best = checkpoints.best
    for path in copy.checkpoints.glob("*/metrics/metrics"):
        path.write_text('{"score": -9.0}')
    with Checkpoints(copy.checkpoints, read_only=True) as checkpoints:
        assert checkpoints.best == best
    assert call("verify", copy.directory) == 2
    assert "the score is -9.0, expected 0." in capsys.readouterr().err


def test_a_missing_best_checkpoint_is_said(copy, capsys):
    best, _ = steps(copy.checkpoints)
    shutil.rmtree(best)
    assert call("evaluate", copy.directory) == 2
    assert f"{best}, the best checkpoint, is missing" in capsys.readouterr().err


def test_a_checkpoint_without_checksums_is_restored(data, tmp_path):
    """As older versions wrote it: a record without marks."""
    state = Setup([tiny()], data).trainer.init()
    items = {"variables": variables_of(state), "training": training_of(state)}
    storage = Storage(tmp_path / "checkpoints")
    storage.save(3, items, {"epoch": 1}, 0.5, set())
    storage.save(5, items, {"epoch": 2}, None, {3})
    storage.close()
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.best == 3
        restored = checkpoints.restore(state)
        assert checkpoints.verify()[0] == []
        assert len(checkpoints.verify()[1]) == 2
    assert (restored.step, restored.progress) == (5, {"epoch": 2})
    assert_same(restored.state, state)


# Reading while a training writes, and a full disk.


def test_a_checkpoint_that_is_deleted_under_a_reader_is_read_anew(
    copy, monkeypatch, data
):
    variables = variables_of(Setup([copy.experiment], copy.data).trainer.init())
    best, restore = steps(copy.checkpoints)[0], Storage.restore

    def overtaken(storage, step, *given):
        if step == int(best.name):
            with Checkpoints(copy.checkpoints) as training:
                training.save_variables(99, variables, {}, 0.9)
            assert not best.exists()
        return restore(storage, step, *given)

    monkeypatch.setattr(Storage, "restore", overtaken)
    with Checkpoints(copy.checkpoints, read_only=True) as checkpoints:
        assert_same(checkpoints.restore_variables(variables), variables)


@pytest.mark.parametrize("most", [700, 10_000])
def test_a_full_disk_ends_in_one_sentence_and_resumes(
    most, data, whole, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr("ple_jax.parallel.runtime.set_up", lambda: None)
    loop.fit(new_run(data, tmp_path / "first"))  # so that all programs are compiled
    run = new_run(data, tmp_path / "run")
    resume = ("train", "--resume", "--run-dir", run.directory)
    capfd.readouterr()  # what was said is in a file, too
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        assert call(*resume) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert said.count("error: ") == said.count("File too large") == 1
    assert call(*resume) == 0
    assert run.result == whole.result
    assert_same(final_state(run), final_state(whole))
    assert not [*run.directory.rglob("*tmp*")]


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
