"""Two processes train several trials as one does, and go on after a loss."""

from functools import partial

import numpy as np
import pytest
from lib import in_child, processes
from lib.pairs import again, new, numbers, together

from ple_jax.parallel import launch

pytestmark = pytest.mark.slow


def seeds(run):
    """Two trials as one program, each with its own batches."""
    return new(run, "--train.seeds", 2)


def shapes(run):
    """Two points, a program each, that are compared at the end."""
    return new(run, *"--sweep.inputs.embedding-dim 3 5".split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trials")


@pytest.fixture(scope="module")
def of_two(folder):
    both = together(folder, seeds(folder / "two"), seeds(folder / "two"))
    assert both.statuses == (0, 0), both
    assert "2 trials" in both.first.said
    assert both.second.said == ""  # only the first speaks
    return folder / "two"


def each(run):
    """What a sweep measured, and each of its trials."""
    trials = sorted((run / "trials").iterdir())
    assert len(trials) == 2
    return [numbers(one) for one in (run, *trials)]


def assert_near(run, other):
    for found, wanted in zip(each(run), each(other), strict=True):
        assert len(wanted) > 100
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_what_two_began_one_goes_on_with_to_the_same_numbers(folder, of_two):
    run, stop = folder / "other", [partial(in_child.at_step, 2, "stop")]
    both = together(folder, seeds(run), seeds(run), faults=((), stop))
    assert both.statuses == (130, 130), both
    assert "stopped by SIGTERM; continue with: ple-jax launch -n 2" in both.first.said
    alone = processes.run(folder / "said", *again(run))
    assert alone.status == 0, alone.said
    assert_near(run, of_two)


def test_a_kill_ends_both_and_trials_resume_to_the_same_bits(folder, of_two):
    run, kill = folder / "killed", [partial(in_child.at_step, 13, "kill")]
    both = together(folder, seeds(run), seeds(run), faults=((), kill))
    assert both.statuses == (launch.LOST, -9), both
    assert "it lost another process" in both.first.said.splitlines()[-1]
    both = together(folder, again(run), again(run))
    assert both.statuses == (0, 0), both
    for found, wanted in zip(each(run), each(of_two), strict=True):
        assert np.array_equal(found, wanted)


def test_points_of_different_shapes_follow_one_another(folder):
    run = folder / "shapes"
    both = together(folder, shapes(run), shapes(run))
    assert both.statuses == (0, 0), both
    ended = processes.run(folder / "said", *shapes(folder / "one"))
    assert ended.status == 0, ended.said
    assert_near(run, folder / "one")
    record = (run / "experiment.toml").read_text()
    assert 'distributed = ""' in record  # a run is the same, whoever trained it
    assert not (run / "checkpoints").exists()
