"""Run directories: whole or not there, and checked when they are opened."""

import subprocess
import sys

import pytest
from lib.training import tiny

from ple_jax.config.sweep import Sweep, Trial
from ple_jax.runs.directory import create_run, open_run
from ple_jax.studies import study

# Makes a run directory, and dies at the nth event of Python's audit hooks of one kind.
KILLED = """
import os, pathlib, sys

kind, folder, prepared, event, name, left = sys.argv[1:]
left, armed = int(left), False

def hook(found, arguments):
    global left
    if armed and found == event and name in str(arguments[0]):
        left -= 1
        if not left:
            os._exit(9)

sys.addaudithook(hook)
sys.path.insert(0, {tests!r})
from runs.test_directory import make
from ple_jax.data.store import Prepared

data = Prepared.open(pathlib.Path(prepared))
armed = True
make(kind, pathlib.Path(folder), data)
"""


def make(kind, folder, data):
    """A new directory of a lone run, or of a sweep of two trials."""
    if kind == "lone":
        return create_run(folder, tiny(), data)
    trials = [Trial(f"seed={i}", "", tiny(train={"seed": i})) for i in (0, 1)]
    return study.create(folder, Sweep(tiny(train={"seeds": 2}), {}, trials), data)


def opens(kind, folder):
    """Whether a new process could go on with it."""
    if kind == "lone":
        return open_run(folder).experiment == tiny()
    return len(study.open_study(folder, study.recorded(folder)).runs) == 2


@pytest.fixture(scope="module")
def data(prepared):
    return prepared("synthetic", examples=600)


POINTS = [
    ("lone", "os.link", "", 1),
    ("lone", "os.link", "", 9),
    ("lone", "open", "experiment.toml", 1),
    ("lone", "os.rename", ".partial-", 1),
    ("sweep", "os.link", "", 9),
    ("sweep", "open", "experiment.toml", 1),
    ("sweep", "open", "experiment.toml", 3),
    ("sweep", "os.rename", ".partial-", 1),
]


def made_by_a_process(kind, folder, data, root, event, name="", nth=1):
    """The exit status of a process that makes a directory; 9 if it was killed."""
    program = KILLED.format(tests=str(root / "tests"))
    command = [sys.executable, "-c", program, kind, folder, data.directory]
    command = map(str, [*command, event, name, nth])
    return subprocess.run([*command], stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize(("kind", "event", "name", "nth"), POINTS)
def test_a_kill_leaves_no_half_directory(
    kind, event, name, nth, data, tmp_path, pytestconfig
):
    folder, root = tmp_path / "run", pytestconfig.rootpath
    assert made_by_a_process(kind, folder, data, root, event, name, nth) == 9
    assert not folder.exists()
    make(kind, folder, data)
    assert opens(kind, folder)


@pytest.mark.parametrize("kind", ["lone", "sweep"])
def test_without_a_kill_the_directory_is_there(kind, data, tmp_path, pytestconfig):
    folder, root = tmp_path / "run", pytestconfig.rootpath
    assert made_by_a_process(kind, folder, data, root, "no event") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert opens(kind, folder)


@pytest.mark.parametrize("kind", ["lone", "sweep"])
def test_an_empty_directory_and_a_link_to_one_are_used(kind, data, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to("other")
    for name in ("empty", "link"):
        make(kind, tmp_path / name, data)
        assert opens(kind, tmp_path / name)
    assert (tmp_path / "link").is_symlink()
