"""Trainings that are killed, and continue to the same bits."""

import functools
import re
import signal

import numpy as np
import pytest
from lib import in_child
from lib.snapshots import differences, held

# Before which change of a file the process dies: event, path, which one.
LONE = {
    "data are linked": ("os.link", "data/", 9),
    "the experiment is written": ("open", "experiment.toml", 1),
    "the directory gets its name": ("os.rename", r"\.partial-", 1),
    "the journal is begun": ("open", r"\.partial-|metrics.jsonl", 3),
    "the first checkpoint is begun": ("os.mkdir", r"/\d+\.orbax", 1),
    "between two items": ("os.rename", "training.orbax", 1),
    "before a commit": ("os.rename", r"/\d+\.orbax[\w-]*$", 2),
    "an epoch is written down": ("open", "metrics.jsonl", 2),
    "the best is kept": ("os.mkdir", r"metrics\.orbax", 1),
    "an old checkpoint is deleted": ("shutil.rmtree", "checkpoints/", 1),
    "within its deletion": ("os.rmdir", "checkpoints/", 1),
    "the result is written": ("os.rename", "result.json", 1),
}
GROUP = {
    "a trial's directory is made": ("open", "experiment.toml", 2),
    "the best of a trial is kept": ("os.mkdir", r"seed=1/checkpoints/\d+\.orbax", 1),
    "between two bests": ("os.rename", r"seed=0/checkpoints/\d+\.orbax", 1),
    "the state is saved": ("os.rename", r"/\d+\.orbax[\w-]*$", 3),
    "an old state is deleted": ("shutil.rmtree", "checkpoints/", 2),
    "a trial's result is written": ("os.rename", "result.json", 2),
    "the state is no longer needed": ("shutil.rmtree", "group|checkpoints$", 1),
}
POINTS = [("lone", name) for name in LONE] + [("group", name) for name in GROUP]


def check_goes_on(shared, whole, kind, ended, run):
    """What is left can be trained to its end, and is as if it was never killed."""
    assert ended.status in (0, -signal.SIGKILL), ended.said
    again = shared.resume(run) if run.exists() else shared.train(kind, run)
    assert again.status == 0, again.said
    assert differences(held(run), whole(kind).held) == []
    assert [path.name for path in run.parent.iterdir()] == [run.name]


@pytest.mark.parametrize(("kind", "name"), POINTS)
def test_a_kill_at_a_named_point(kind, name, shared, whole, tmp_path):
    point = {"lone": LONE, "group": GROUP}[kind][name]
    run = tmp_path / "run"
    ended = shared.train(kind, run, functools.partial(in_child.die_at, *point))
    assert ended.status == -signal.SIGKILL, f"{point} never came: {ended.said}"
    check_goes_on(shared, whole, kind, ended, run)
