"""A process whose steps end no more is ended, with its stacks and how to go on."""

import time
from functools import partial

import pytest
from lib import in_child, processes

from ple_jax.parallel import processes as together
from ple_jax.parallel.processes import STUCK
from ple_jax.train import watchdog


@pytest.fixture
def ends(monkeypatch):
    """When a process would have been ended."""
    found = []
    monkeypatch.setattr(watchdog, "end", found.append)
    return found


def taking(*seconds):
    for one in seconds:
        time.sleep(one)
        yield one


def test_a_long_item_ends_the_process_but_not_the_first(ends, monkeypatch):
    monkeypatch.setenv(watchdog.SECONDS, "0.2")
    assert list(watchdog.watched(taking(0.5, 0, 0.01))) == [0.5, 0, 0.01]
    time.sleep(0.3)  # none is running
    assert ends == []
    assert list(watchdog.watched(taking(0, 0.5))) == [0, 0.5]
    assert ends == [0.2]


def test_long_use_of_an_item_counts(ends, monkeypatch):
    monkeypatch.setenv(watchdog.SECONDS, "0.2")
    for number, _ in enumerate(watchdog.watched(taking(0, 0, 0))):
        time.sleep(0.5 * (number == 1))
    assert ends == [0.2]


def test_alone_a_process_may_take_any_time(ends, monkeypatch):
    monkeypatch.delenv(watchdog.SECONDS, raising=False)
    assert watchdog.bound() == 0
    monkeypatch.setattr(watchdog.processes, "several", lambda: True)
    assert watchdog.bound() == 900


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1e300"])
def test_a_bound_that_is_none_is_refused(text, monkeypatch):
    monkeypatch.setenv(watchdog.SECONDS, text)
    with pytest.raises(ValueError, match="PLE_JAX_STEP_SECONDS must be seconds"):
        watchdog.bound()


def test_the_environment_may_state_a_heartbeat(monkeypatch):
    monkeypatch.delenv(together.SECONDS, raising=False)
    assert together.heartbeat() == 10
    monkeypatch.setenv(together.SECONDS, "60.5")
    assert together.heartbeat() == 61
    monkeypatch.setenv(together.SECONDS, "0")
    with pytest.raises(ValueError, match="PLE_JAX_HEARTBEAT_SECONDS must be seconds"):
        together.heartbeat()


@pytest.mark.slow
def test_a_run_that_hangs_says_where_and_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv(watchdog.SECONDS, "1.5")
    experiment = processes.ROOT / "experiments" / "synthetic_ple.toml"
    knobs = """--data.examples 700 --train.epochs 1 --train.batch-size 32
        --train.members 1 --train.average-decay 0 --train.steps-per-dispatch 2
        --model.expert-dims 3 --model.tower-dims 3""".split()
    line, run = ("train", experiment, "--run-dir", tmp_path / "run"), tmp_path / "run"
    hang = [partial(in_child.at_step, 3, "hang")]
    ended = processes.run(tmp_path / "said", *line, *knobs, faults=hang)
    assert ended.status == STUCK, ended.said
    stacks, _, sentence = ended.said.partition("error: the process ends: no step")
    assert "in_child.py" in stacks
    assert "Thread 0x" in stacks
    assert sentence.startswith(" has ended for 1.5 s (PLE_JAX_STEP_SECONDS)")
    assert f"continue with: ple-jax train --resume --run-dir {run}\n" in sentence
