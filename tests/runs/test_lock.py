"""One training at a time has a run directory."""

import fcntl
import json
import os
import platform
import subprocess
import sys
import time

import pytest
from lib.training import call, new_run

from ple_jax.runs import lock
from ple_jax.runs.lock import Owner, locked
from ple_jax.studies import sweeps
from ple_jax.train import loop

HOLD = """
import pathlib, sys
from ple_jax.runs.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(prepared, tmp_path):
    return new_run(prepared("synthetic", examples=600), tmp_path / "run")


def test_a_second_training_is_refused_until_the_first_dies(run, capsys):
    command = [sys.executable, "-c", HOLD, str(run.directory)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert call("train", "--resume", "--run-dir", run.directory) == 2
        said = capsys.readouterr().err
        who = f"process {holder.pid} on {platform.node()} since "
        assert f"{run.directory} is being trained by {who}" in said
        assert " s ago): wait for its end" in said
        assert not run.checkpoints.exists()
        holder.kill()
    assert loop.fit(run, resume=True)["epochs"] == 3
    said = capsys.readouterr().err
    assert f"is taken over from process {holder.pid} on" in said
    assert not (run.directory / lock.OWNER).exists()


def test_control_of_a_lock_that_does_not_lock(run, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda file, how: None)
    with locked(run.directory), locked(run.directory):
        pass


def test_trials_and_studies_are_locked_too(run, tmp_path):
    with locked(run.directory):
        with pytest.raises(ValueError, match=rf"trained by process {os.getpid()} on"):
            loop.fit_group([run], tmp_path / "checkpoints")
        with pytest.raises(ValueError, match="is being trained by process"):
            sweeps.fit(sweeps.SweepDirectory(run.directory, None, (run,)))


def here(**changes):
    """The owner that this process would be."""
    pid = os.getpid()
    owner = Owner(platform.node(), pid, lock.start_of(pid), time.time() - 150)
    return owner._replace(**changes)


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(file, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize(
    ("owner", "refused"),
    [
        (here(), r"\(\d+ min ago\): wait"),
        (here(host="elsewhere"), r"elsewhere .*if it is gone, remove .*training.json"),
        (here(started="0"), None),
        (here(process=2**22 + 1), None),
        (None, None),
    ],
)
def test_without_locks_the_recorded_owner_is_asked_for(
    owner, refused, run, no_locks, capsys
):
    if owner:
        (run.directory / lock.OWNER).write_text(json.dumps(owner._asdict()))
    if refused:
        with pytest.raises(ValueError, match=refused), locked(run.directory):
            pass
        assert (run.directory / lock.OWNER).exists()
        return
    mine = pytest.raises(ValueError, match=f"by process {os.getpid()}")
    with locked(run.directory), mine, locked(run.directory):
        pass
    said = capsys.readouterr().err
    assert "cannot be locked (Operation not supported)" in said
    assert ("is taken over from" in said) == bool(owner)
    assert not (run.directory / lock.OWNER).exists()


@pytest.mark.parametrize("text", ["", "{}", "3", '{"host": 1}', "[1, 2, 3, 4]"])
def test_a_damaged_note_of_the_owner_is_no_owner(text, run):
    (run.directory / lock.OWNER).write_text(text)
    with locked(run.directory):
        assert lock.recorded(run.directory / lock.OWNER).process == os.getpid()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (59, "59 s"), (150, "2 min"), (7300, "2 h"), (3 * 86400, "3 days")],
)
def test_an_age_is_one_number(seconds, said):
    assert lock.ago(seconds) == f"{said} ago"
