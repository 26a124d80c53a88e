"""One training at a time has a run directory."""

import fcntl
import subprocess
import sys

import pytest
from lib.training import call, new_run

from ple_jax.runs.lock import locked
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
        assert "is being trained by another process" in capsys.readouterr().err
        assert not run.checkpoints.exists()
        holder.kill()
    assert loop.fit(run, resume=True)["epochs"] == 3


def test_trials_are_locked_too(run, tmp_path):
    with locked(run.directory), pytest.raises(ValueError, match="another process"):
        loop.fit_group([run], tmp_path / "checkpoints")


def test_without_locks_training_goes_on_with_a_warning(run, monkeypatch, capsys):
    def refuse(file, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(run.directory):
        pass
    assert "cannot be locked (Operation not supported)" in capsys.readouterr().err
