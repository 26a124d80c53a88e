"""Trainings that are killed, and continue to the same bits."""

import re
import signal
from functools import partial

import numpy as np
import pytest
from lib import in_child
from lib.snapshots import differences, held

# Before which change of a file the process dies: event, path, which one.
LONE = {
    "data are linked": ("os.link", "data/", 9),
    "the experiment is written": ("open", "experiment.toml", 1),
    "the directory gets its name": ("os.rename", r"\.partial-", 1),
    "the journal is begun": ("os.rename", "metrics.jsonl", 1),
    "the first checkpoint is begun": ("os.mkdir", r"/\d+\.orbax[\w-]*$", 1),
    "between two items": ("os.rename", r"training$", 1),
    "before a commit": ("os.rename", r"/\d+$", 2),
    "an epoch is written down": ("open", "metrics.jsonl", 2),
    "the best is kept": ("os.mkdir", r"metrics\.orbax", 1),
    "an old checkpoint is deleted": ("shutil.rmtree", r"checkpoints/\d", 1),
    "within its deletion": ("os.rmdir", "checkpoints/", 1),
    "the result is written": ("os.rename", "result.json", 1),
}
GROUP = {
    "the best of a trial is kept": ("os.mkdir", r"seed=1/checkpoints/\d+\.orbax", 1),
    "between two bests": ("os.rename", r"seed=0/checkpoints/\d+$", 1),
    "the state is saved": ("os.rename", r"run/checkpoints/seed=0/\d+$", 2),
    "a trial's result is written": ("os.rename", "seed=1/result.json", 1),
    "the state is no longer needed": ("shutil.rmtree", r"run/checkpoints/seed=0$", 1),
}
POINTS = {"lone": LONE, "group": GROUP}
NAMED = [(kind, name) for kind, points in POINTS.items() for name in points]


def check_goes_on(shared, whole, kind, ended, run):
    """What is left can be trained to its end, and is as if it was never killed."""
    again = shared.resume(run) if run.exists() else shared.train(kind, run)
    assert again.status == 0, again.said
    assert differences(held(run), whole(kind).held) == []
    assert [path.name for path in run.parent.iterdir()] == [run.name]


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_a_kill_at_a_named_point(kind, name, shared, whole, tmp_path):
    point, run = POINTS[kind][name], tmp_path / "run"
    ended = shared.train(kind, run, partial(in_child.die_at, *point))
    assert ended.status == -signal.SIGKILL, f"{point} never came: {ended.said}"
    check_goes_on(shared, whole, kind, ended, run)


@pytest.mark.drawn(6)
def test_a_kill_at_any_change_of_a_file(seed, shared, whole, tmp_path):
    kind, run = ("lone", "lone", "group")[seed % 3], tmp_path / "run"
    changes = whole(kind).changes
    event, path = changes[np.random.default_rng(seed).integers(len(changes))]
    home = whole(kind).directory
    for there, here in ((home, run), (home.parent, run.parent)):
        path = path.replace(str(there), str(here))
    pattern = re.sub(r"partial\\-[\w\\-]+", r"partial-[\\w-]+", re.escape(path))
    ended = shared.train(kind, run, partial(in_child.die_at, event, pattern, 1))
    print(f"killed at {event} {pattern}")
    assert ended.status == -signal.SIGKILL, ended.said
    check_goes_on(shared, whole, kind, ended, run)


@pytest.mark.drawn(3)
def test_a_kill_at_any_time(seed, shared, whole, tmp_path):
    run, seconds = tmp_path / "run", np.random.default_rng(seed).uniform(0.1, 5)
    arguments = "train", shared.experiment, "--run-dir", run
    ended = shared.start(*arguments).killed_after(seconds)
    print(f"killed after {seconds} s")
    assert ended.status in (0, -signal.SIGKILL), ended.said
    check_goes_on(shared, whole, "lone", ended, run)


SABOTAGE = {
    "the optimizer is forgotten": in_child.forget_the_optimizer,
    "the place is forgotten": in_child.forget_the_place,
    "an item is not saved": in_child.save_without_an_item,
    "no epoch is written down": in_child.keep_no_journal,
}


@pytest.mark.parametrize("fault", SABOTAGE.values(), ids=SABOTAGE)
def test_a_control_that_saves_or_resumes_wrongly_is_caught(
    fault, shared, whole, tmp_path
):
    """The same kill and comparison find each of these faults."""
    run, kill = tmp_path / "run", partial(in_child.die_at, "os.rename", r"/13$", 1)
    assert shared.train("lone", run, fault, kill).status == -signal.SIGKILL
    again = shared.resume(run, fault)
    assert again.status != 0 or differences(held(run), whole("lone").held)
