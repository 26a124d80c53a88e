"""Run directories: whole or not there, and checked when they are opened."""

import errno
import pathlib
import shutil
import subprocess
import sys
from unittest import mock

import pytest
from lib.training import call, tiny

from ple_jax.config.sweep import Sweep, Trial
from ple_jax.runs import directory, journal, manifest
from ple_jax.runs.directory import create_run, open_run
from ple_jax.studies import sweeps
from ple_jax.train import loop

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
    return sweeps.create(folder, Sweep(tiny(train={"seeds": 2}), {}, trials), data)


def opens(kind, folder):
    """Whether a new process could go on with it."""
    if kind == "lone":
        return open_run(folder).experiment == tiny()
    return len(sweeps.open_sweep(folder, sweeps.recorded(folder)).runs) == 2


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


def test_a_directory_that_cannot_be_replaced_is_named(data, tmp_path, monkeypatch):
    (tmp_path / "mount").mkdir()
    busy = OSError(errno.EBUSY, "Device or resource busy")
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "rmdir", mock.Mock(side_effect=busy))
        with pytest.raises(ValueError, match=r"busy.: name a directory .*mount/run"):
            make("lone", tmp_path / "mount", data)
    monkeypatch.chdir(tmp_path / "mount")
    with pytest.raises(ValueError, match="is the working directory"):
        make("lone", pathlib.Path("."), data)
    make("lone", pathlib.Path("run"), data)
    assert opens("lone", tmp_path / "mount" / "run")


# What is recorded.


def changed(path, change):
    """Writes a file anew, so that no other directory that links to it changes."""
    content = bytearray(path.read_bytes())
    change(content)
    path.unlink()
    path.write_bytes(content)


def flip_last(content):
    content[-2] ^= 1


SMALL = [
    "experiment.toml",
    "data/dataset.json",
    "data/encoder.json",
    "data/vocabularies/0.parquet",
]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("change", [flip_last, lambda c: c.clear()])
def test_a_changed_file_is_named_whenever_a_run_is_opened(name, change, data, tmp_path):
    create_run(tmp_path / "run", tiny(), data)
    changed(tmp_path / "run" / name, change)
    with pytest.raises(ValueError, match=f"{name} is not as it was written"):
        open_run(tmp_path / "run")


@pytest.mark.parametrize("name", SMALL)
def test_a_missing_file_is_named(name, data, tmp_path):
    create_run(tmp_path / "run", tiny(), data)
    (tmp_path / "run" / name).unlink()
    with pytest.raises(ValueError, match=name.partition("/")[0]):
        open_run(tmp_path / "run")


def test_another_value_is_no_other_experiment(data, tmp_path, capsys):
    create_run(tmp_path / "run", tiny(), data)
    path = tmp_path / "run" / "experiment.toml"
    path.write_text(path.read_text().replace("epochs = 3", "epochs = 4"))
    assert call("train", "--resume", "--run-dir", tmp_path / "run") == 2
    assert "experiment.toml is not as it was written" in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:9], "manifest.json is damaged: it is not JSON"),
        (lambda text: "3", "is no manifest"),
        (lambda text: text.replace("files", "fines"), "is no manifest"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "has format 2"),
        (lambda text: text.replace(".toml", ".tomk"), "experiment.tomk is missing"),
    ],
)
def test_a_damaged_manifest_is_an_error(change, message, data, tmp_path):
    create_run(tmp_path / "run", tiny(), data)
    path = tmp_path / "run" / "manifest.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        open_run(tmp_path / "run")


# Directories of before there were manifests.


@pytest.fixture
def old_run(data, tmp_path):
    """(change of experiment.toml) -> a run directory without a manifest."""

    def make_old(change):
        directory.say_once.cache_clear()
        create_run(tmp_path / "run", tiny(), data)
        (tmp_path / "run" / "manifest.json").unlink()
        path = tmp_path / "run" / "experiment.toml"
        path.write_text(change(path.read_text()))
        return tmp_path / "run"

    return make_old


def test_an_older_run_opens_and_says_what_it_does_not_record(old_run, capsys):
    folder = old_run(lambda text: text.replace("clip_norm = 0.0\n", ""))
    assert open_run(folder).experiment == open_run(folder).experiment == tiny()
    said = capsys.readouterr().err
    assert said.count("before there were checksums") == 1
    assert "It lacks train.clip_norm: defaults are taken." in said


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        (lambda text: "", "data, model, weighting, inputs, train"),
        (lambda text: text.partition("[inputs]")[0], "inputs, train"),
        (lambda text: text.partition("[train]")[0], "train"),
        (lambda text: text.replace('kind = "ple"\n', ""), "model.kind"),
    ],
)
def test_an_older_run_without_a_section_is_refused(change, lacks, old_run):
    with pytest.raises(ValueError, match=rf"experiment.toml .* lacks {lacks}\."):
        open_run(old_run(change))


# Results.


def test_a_changed_result_is_said_wherever_it_is_read(data, tmp_path):
    run = make("lone", tmp_path / "run", data)
    run.write_result({"step": 7, "epochs": 3})
    assert run.result == {"step": 7, "epochs": 3}
    path = tmp_path / "run" / "result.json"
    path.write_text(path.read_text().replace("7", "8"))
    with pytest.raises(ValueError, match=r"result.json is not as it was written"):
        _ = run.result
    assert open_run(tmp_path / "run").experiment == tiny()  # which does not read it
    with pytest.raises(ValueError, match=r"result.json is not as it was written"):
        sweeps.fit(sweeps.SweepDirectory(run.directory, None, (run,)), resume=True)
    run.write_result({"step": 9})
    assert run.result == {"step": 9}


@pytest.mark.parametrize("point", ["write_json", "seal"])
def test_a_kill_while_the_result_is_written_leaves_none_that_seems_damaged(
    point, data, tmp_path, monkeypatch
):
    run = make("lone", tmp_path / "run", data)
    run.write_result({"step": 7})
    owner = directory if point == "write_json" else manifest
    with monkeypatch.context() as patch:
        patch.setattr(owner, point, mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run.write_result({"step": 9})
    assert run.result in ({"step": 7}, {"step": 9})
    run.write_result({"step": 9})
    assert run.result == {"step": 9}


# Verification.


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A sweep and a lone run that were trained to the end."""
    folder = tmp_path_factory.mktemp("finished")
    loop.fit(make("lone", folder / "lone", data))
    sweep = make("sweep", folder / "sweep", data)
    sweeps.fit(sweep)
    return folder


LONE = [
    "experiment.toml",
    "data/vocabularies/0.parquet",
    "data/train/labels.npy",
    "data/test/ids.npy",
    "metrics.jsonl",
    "result.json",
    "checkpoints/*/variables/ocdbt.process_0/d/*",
    "checkpoints/*/training/ocdbt.process_0/d/*",
]
IN_SWEEP = [
    "trials/seed=1/data/test/ids.npy",
    "trials/seed=0/metrics.jsonl",
    "trials/seed=1/result.json",
    "result.json",
    "trials/seed=0/checkpoints/*/variables/ocdbt.process_0/d/*",
]
FILES = [("lone", name) for name in LONE] + [("sweep", name) for name in IN_SWEEP]


def flip_middle(content):
    content[len(content) // 2] ^= 1


def test_verify_names_all_that_is_damaged_and_not_only_the_first(
    finished, tmp_path, capsys
):
    for kind in ("lone", "sweep"):
        shutil.copytree(finished / kind, tmp_path / kind)
        assert call("verify", tmp_path / kind) == 0
        assert "damaged" not in capsys.readouterr().err
    for kind, name in FILES:
        largest = max((tmp_path / kind).glob(name), key=lambda p: p.stat().st_size)
        changed(largest, flip_middle)
    for kind in ("lone", "sweep"):
        assert call("verify", tmp_path / kind) == 2
        said = capsys.readouterr().err
        lines = [line for line in said.splitlines() if line.startswith("damaged: ")]
        for of, name in FILES:
            words = [*name.partition("/*")[0].split("/"), *name.split("/")[2:3]]
            words = [w for w in words if w not in ("*", "data", "vocabularies")]
            found = [line for line in lines if all(word in line for word in words)]
            assert of != kind or found, (name, lines)


def test_control_of_a_verification_that_compares_nothing(
    finished, tmp_path, capsys, monkeypatch
):
    shutil.copytree(finished / "lone", tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    changed(path, lambda c: c.__setitem__(c.index(b"0."), ord("1")))
    assert call("verify", tmp_path / "run") == 2
    monkeypatch.setattr(manifest, "faults", lambda directory, wanted: [])
    monkeypatch.setattr(journal, "_marked", lambda path, lines, marks: [])
    assert call("verify", tmp_path / "run") == 0


def test_verify_says_what_has_no_checksums(old_run, capsys):
    folder = old_run(lambda text: text)
    assert call("verify", folder) == 0
    assert "no checksums of experiment, schema" in capsys.readouterr().err


def test_verify_reads_run_directories_only(tmp_path, capsys):
    assert call("verify", tmp_path) == 2
    assert "is not a run directory" in capsys.readouterr().err
