"""Two processes train as one does, stop together, and end when one is lost."""

import pathlib
import time
from functools import partial

import jax
import numpy as np
import pytest
from lib import in_child, processes
from lib.pairs import again, begun, new, numbers, together

from ple_jax.parallel import launch
from ple_jax.parallel.processes import loss

pytestmark = pytest.mark.slow
SOON = 15  # seconds


def pytest_generate_tests(metafunc):
    """No random kills by default; with --faults 10, twenty."""
    if "kill" in metafunc.fixturenames:
        scale = metafunc.config.getoption("--faults")
        metafunc.parametrize("kill", range(2 * scale if scale > 1 else 0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def of_one(folder):
    ended = processes.run(folder / "said", *new(folder / "one"))
    assert ended.status == 0, ended.said
    return folder / "one"


@pytest.fixture(scope="module")
def of_two(folder):
    both = together(folder, new(folder / "two"), new(folder / "two"))
    assert both.statuses == (0, 0), both
    assert "best epoch" in both.first.said
    assert both.second.said == ""  # only the first speaks
    return folder / "two"


def test_a_loss_is_known_whatever_wraps_it():
    of_orbax = ValueError("7 cannot be written (gloo/tcp/pair.cc: Connection closed).")
    assert loss(of_orbax) == str(of_orbax)
    assert loss(jax.errors.JaxRuntimeError("UNAVAILABLE: task 1")).startswith("UNAV")
    assert loss(ValueError("'a' is not a known task (train.metric).")) == ""
    wrapped = ValueError("It cannot be read.")
    wrapped.__cause__ = of_orbax
    assert loss(wrapped) == str(of_orbax)


def test_two_processes_measure_what_one_does(of_one, of_two):
    one, two = numbers(of_one), numbers(of_two)
    assert len(one) > 100
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-6)


def test_one_that_is_killed_ends_the_other_and_resumes_to_the_same_bits(folder, of_two):
    run, kill = folder / "killed", [partial(in_child.at_step, 13, "kill")]
    both = together(folder, new(run), new(run), faults=((), kill))
    assert both.statuses == (launch.LOST, -9), both
    assert both.apart < SOON
    line = both.first.said.splitlines()[-1]
    assert line.startswith("error: process 0 of 2 ends at step")
    assert "it lost another process" in line
    assert "Traceback" not in both.first.said
    both = together(folder, again(run), again(run))
    assert both.statuses == (0, 0), both
    assert np.array_equal(numbers(run), numbers(of_two))


def test_a_random_kill_ends_both_and_resumes_to_the_same_bits(kill, folder, of_two):
    draw = np.random.default_rng(kill)
    which, nth, later = draw.integers(2), int(draw.integers(1, 28)), draw.uniform(0, 1)
    fault = partial(in_child.at_step, nth, "kill later", later)
    run, patient = folder / f"kill-{kill}", [in_child.be_patient]
    faults = [[*patient, fault] if i == which else patient for i in range(2)]
    print(f"process {which} is killed {later} s after dispatch {nth}")
    both = together(folder, new(run), new(run), faults=faults)
    if both.statuses != (0, 0):  # all was done before
        assert both.statuses[which] == -9, both
        assert both.statuses[1 - which] in launch.OF_OTHERS, both
        assert both.apart < SOON
        both = together(folder, again(run), again(run), faults=(patient, patient))
        assert both.statuses == (0, 0), both
    assert np.array_equal(numbers(run), numbers(of_two))


def test_one_that_is_stopped_is_lost_soon(folder):
    run, fault = folder / "stopped", [partial(in_child.at_step, 2, "freeze")]
    first, second = begun(folder, new(run), new(run), faults=((), fault))
    while not is_stopped(second.process.pid):
        time.sleep(0.1)
    since = time.monotonic()
    ended = first.end()
    assert time.monotonic() - since < SOON
    second.process.kill()
    assert ended.status in launch.OF_OTHERS, ended


def is_stopped(pid):
    """Whether a process is stopped, by Linux."""
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def test_a_run_goes_on_with_other_numbers_of_processes(folder, of_one):
    run, stop = folder / "other", [partial(in_child.at_step, 2, "stop")]
    both = together(folder, new(run), new(run), faults=((), stop))
    assert both.statuses == (130, 130), both
    assert "stopped by SIGTERM; continue with: ple-jax launch -n 2" in both.first.said
    alone = processes.run(folder / "said", *again(run), faults=stop)
    assert alone.status == 130, alone.said
    both = together(folder, again(run), again(run))
    assert both.statuses == (0, 0), both
    np.testing.assert_allclose(numbers(run), numbers(of_one), rtol=0, atol=1e-6)


def test_an_error_in_one_is_told_and_ends_both(folder):
    run, fault = folder / "raises", [partial(in_child.at_step, 2, "raise")]
    both = together(folder, new(run), new(run), faults=((), fault))
    assert both.statuses == (launch.LOST, 2), both
    assert both.apart < SOON
    line = both.second.said.splitlines()[-1]
    assert line.startswith("error: process 1 of 2 ends at step 4: invalid literal")


def test_processes_that_differ_are_named(folder):
    run = folder / "unlike"
    both = together(folder, new(run), [*new(run), "--train.seed", 3])
    assert both.statuses == (2, 2), both
    assert "process 1 has train.seed = 3, but process 0 has 0" in both.first.said
    assert both.second.said == ""
    assert not run.exists() or not (run / "metrics.jsonl").exists()
