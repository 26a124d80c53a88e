"""The launcher, with shell scripts in the place of trainings."""

import os
import signal
import sys
import threading
import time

import pytest

from ple_jax.cli import main
from ple_jax.parallel import launch, told

TELL = 'cd "$PLE_JAX_TOLD"; printf runs/shop > run; echo 64 > $PLE_JAX_PROCESS\n'


@pytest.fixture
def launched(tmp_path, monkeypatch, capfd):
    """(script of process 0, of process 1) -> status, and what was said on stderr."""

    def of(*scripts, command=("train", "shop.toml")):
        for number, script in enumerate(scripts):
            (tmp_path / str(number)).write_text(script)
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\n. "{tmp_path}/$PLE_JAX_PROCESS"\n')
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        monkeypatch.setattr(launch, "GRACE", 0.3)
        status = launch.launch(len(scripts), command)
        return status, capfd.readouterr().err

    return of


def test_what_fails_first_is_named_and_the_others_are_ended(launched):
    began = time.monotonic()
    command = ("train", "shop.toml", "--plugin", "mine")
    status, said = launched("sleep 100", TELL + "kill -9 $$", command=command)
    assert time.monotonic() - began < 15
    assert status == 128 + signal.SIGKILL
    assert "process 1 was killed by SIGKILL at step 64" in said
    resume = "ple-jax launch -n 2 -- train --resume --run-dir runs/shop --plugin mine"
    assert f"continue with: {resume}\n" in said


def test_one_that_lost_another_is_not_blamed(launched):
    status, said = launched(f"exit {launch.LOST}", "sleep 0.1; exit 2")
    assert status == 2
    assert "process 1 ended with status 2 before its first step" in said
    assert "continue" not in said  # there is no run


def test_one_that_stands_still_is_named(launched):
    status, said = launched("sleep 100", TELL + f"exit {launch.LOST}")
    assert status == 128 + signal.SIGKILL
    assert said.startswith("process 0 stood still before its first step")


def test_all_that_lost_another_are_a_failure(launched):
    status, said = launched(f"exit {launch.LOST}", f"exit {launch.LOST}")
    assert status == launch.LOST
    assert "process 0" in said


def test_pages_of_c_plus_plus_are_left_out(launched):
    page = "printf 'F1130 12:00:00 a.cc:1] gone\\n    @ 0x7f\\n' >&2; kill -ABRT $$"
    _, said = launched(page, "echo 'error: no file' >&2; exit 2")
    first, second = said.splitlines()
    assert first == "[1] error: no file"
    assert second.startswith("process 1 ended with status 2")


@pytest.mark.parametrize("status", launch.FINE)
def test_an_end_that_is_no_failure_is_passed_on(launched, status):
    assert launched(f"exit {status}", "exit 0") == (status, "")


def test_only_the_first_speaks_without_its_number(launched, capfd):
    _, said = launched("echo results; echo one >&2", "echo two; echo three >&2")
    assert sorted(said.splitlines()) == ["[1] three", "[1] two", "one"]


@pytest.mark.parametrize(("times", "status"), [(1, 130), (2, 128 + signal.SIGKILL)])
def test_a_signal_is_handed_on_and_a_second_one_kills(launched, times, status):
    deaf = "trap 'echo asked' TERM\nwhile :; do sleep 0.05; done"
    stops = "trap 'exit 130' TERM\nwhile :; do sleep 0.05; done"

    def ask():
        for _ in range(times):
            time.sleep(0.6)
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask).start()
    found, _ = launched(*[stops if times == 1 else deaf] * 2)
    assert found == status
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_each_is_told_who_it_is(launched):
    script = 'echo "$PLE_JAX_PROCESS of $PLE_JAX_PROCESSES" "$@" >&2'
    _, said = launched(script, script)
    lines = [line.rpartition(":")[0] for line in sorted(said.splitlines())]
    command = "-m ple_jax train shop.toml --train.distributed 127.0.0.1"
    assert lines == [f"0 of 2 {command}", f"[1] 1 of 2 {command}"]


def test_what_follows_the_name_of_a_command_is_its_own(monkeypatch):
    calls = []
    monkeypatch.setattr(launch, "launch", lambda *given: calls.append(given) or 7)
    rest = "train some.toml --train.epochs 3 --help".split()
    for line in (["-n", "2", "--", *rest], ["-n", "2", *rest]):
        assert main.run(["launch", *line]) == 7
    assert calls == [(2, rest), (2, rest)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("launch -n 2", "Name what to train"),
        ("launch -n 2 -- predict runs/a", "several processes can share. Known: train"),
        ("launch -n 0 -- train a.toml", "must be at least 1, got 0"),
        ("launch -n 2 --train.epochs 3 -- train a.toml", "takes no knobs"),
        ("launch train a.toml", "required: -n"),
    ],
)
def test_what_cannot_be_launched_is_refused(line, told):
    with pytest.raises(ValueError, match=told):
        main.run(line.split())


def test_a_half_written_step_is_no_step(tmp_path):
    for text, step in [("", None), ("6", None), ("64\n", 64)]:
        (tmp_path / "1").write_text(text)
        assert told.step_told(tmp_path, 1) == step
    assert told.step_told(tmp_path, 0) is None
    assert told.run_told(tmp_path) == ""
