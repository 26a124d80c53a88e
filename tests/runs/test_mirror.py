"""A run is copied to an object store as it trains, and goes on elsewhere."""

import shutil

import fsspec
import pytest
from lib.store import Bucket
from lib.training import StopAfter, assert_same, call, final_state, new_run, records

from ple_jax.data import remote
from ple_jax.runs import mirror
from ple_jax.runs.copies import newest, restore
from ple_jax.runs.directory import open_run
from ple_jax.runs.mirror import Mirror, mirrored
from ple_jax.train import loop

URL = "memory://runs/shop"
BUCKET = f"{Bucket.protocol}://runs/shop"  # the same place, with arguments as S3 has


@pytest.fixture(autouse=True)
def store(monkeypatch):
    monkeypatch.setattr(remote, "WAIT", 0)
    system = fsspec.filesystem("memory")
    yield system
    if system.exists("/runs"):
        system.rm("/runs", recursive=True)


@pytest.fixture
def folder(tmp_path):
    """What looks like a run directory."""
    place = tmp_path / "run"
    for step in (3, 5):
        (place / f"checkpoints/{step}").mkdir(parents=True)
        (place / f"checkpoints/{step}/array").write_bytes(bytes([step]) * 11)
    (place / "experiment.toml").write_text("[train]\n")
    (place / "metrics.jsonl").write_text("1\n")
    return place


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def objects(store):
    return {path.rpartition("/")[2] for path in store.ls("/runs/shop/objects", False)}


def test_stores_may_name_arguments_as_they_like(folder, tmp_path):
    assert Mirror(folder, BUCKET).copy()
    restore(BUCKET, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_a_bucket_that_is_not_there_is_named(folder):
    url = f"{Bucket.protocol}://nobody/shop"
    with pytest.raises(ValueError, match=f"{url} cannot be written: .* not exist"):
        Mirror(folder, url)


def test_a_run_that_stopped_ends_elsewhere_as_one_that_did_not(
    data, tmp_path, monkeypatch
):
    whole = new_run(data, tmp_path / "whole")
    wanted = loop.fit(whole)
    broken = new_run(data, tmp_path / "broken")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "ahead", lambda items: items)
        StopAfter(patch, 7)
        with pytest.raises(loop.Stopped), mirrored(broken.directory, URL):
            loop.fit(broken)
    shutil.rmtree(broken.directory)  # the machine is gone
    found = restore(URL, tmp_path / "again")
    again = open_run(tmp_path / "again")
    assert found.step == int(final_state(again)[0].step) > 0
    mirror.check(URL, again.directory)
    with mirrored(again.directory, URL, every=0.05):
        assert loop.fit(again, resume=True) == wanted
    assert_same(final_state(whole), final_state(again))
    assert records(whole) == records(again)
    restore(URL, tmp_path / "ended")
    assert contents(tmp_path / "ended") == contents(again.directory)
    assert open_run(tmp_path / "ended").result == again.result


def test_the_commands_copy_and_bring_back(tmp_path, capsys):
    text = '[data]\nkind = "synthetic"\nexamples = 500\n[model]\nexpert_dims = [3]\n'
    small = text + "tower_dims = [2]\n[train]\nepochs = 1\nmembers = 1\n"
    (tmp_path / "small.toml").write_text(small)
    train = "train", tmp_path / "small.toml", "--mirror", URL, "--run-dir"
    assert call(*train, tmp_path / "one") == 0
    assert call("restore", URL, tmp_path / "two") == 0
    assert "step 12" in capsys.readouterr().err
    assert call("verify", tmp_path / "two") == 0
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert call(*train, tmp_path / "three") == 2
    assert "has a run already" in capsys.readouterr().err
    assert not (tmp_path / "three").exists()
    assert call("restore", URL, tmp_path / "two") == 2
    assert "already exists" in capsys.readouterr().err


def test_a_second_copy_sends_what_is_new_and_removes_what_went(folder, store):
    copies = Mirror(folder, URL)
    assert copies.copy()
    first, number = objects(store), newest(URL).number
    assert copies.copy()
    assert newest(URL).number == number  # nothing had changed
    shutil.rmtree(folder / "checkpoints/3")
    (folder / "metrics.jsonl").write_text("1\n2\n")
    assert copies.copy()
    assert len(objects(store)) == len(first) - 1
    assert len(objects(store) - first) == 1
    assert len(store.glob("/runs/shop/run.*.json")) == 1


@pytest.mark.parametrize("what", ["damaged", "cut", "missing"])
def test_bytes_that_changed_there_are_named(folder, store, tmp_path, what):
    Mirror(folder, URL).copy()
    digest, _ = newest(URL).files["checkpoints/5/array"]
    place = f"/runs/shop/objects/{digest}"
    if what == "missing":
        store.rm_file(place)
    else:
        store.pipe_file(place, bytes([6]) * 11 if what == "damaged" else b"\x05")
    with pytest.raises(ValueError, match=r"checkpoints/5/array \(objects/.*") as caught:
        restore(URL, tmp_path / "again")
    said = "missing" if what == "missing" else "other bytes than were written"
    assert said in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_copy_that_was_cut_off_takes_nothing_away(folder, store, tmp_path):
    Mirror(folder, URL).copy()
    store.pipe_file("/runs/shop/run.2.json", b'{"files": {"experiment.toml": ["a')
    restore(URL, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)
    store.rm_file("/runs/shop/run.1.json")
    with pytest.raises(ValueError, match="no copy of a run that is whole"):
        newest(URL)


def test_a_directory_that_changes_meanwhile_is_not_a_copy(folder, monkeypatch):
    copies, put = Mirror(folder, URL), Mirror._put

    def saving(self, *args):
        (folder / "checkpoints/5/array").write_bytes(b"other")
        put(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "_put", saving)
        assert not copies.copy()
    assert not newest(URL).number
    assert copies.copy()
    restore(URL, folder.parent / "again")
    assert contents(folder.parent / "again") == contents(folder)


def test_a_checkpoint_that_makes_room_meanwhile_is_no_fault(folder, monkeypatch):
    copies, sent = Mirror(folder, URL), Mirror._sent

    def removing(self, path, stamp):
        shutil.rmtree(folder / "checkpoints/3", ignore_errors=True)
        return sent(self, path, stamp)

    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "_sent", removing)
        assert not copies.copy()
    assert copies.copy()


def test_no_other_run_nor_an_older_one_takes_its_place(folder):
    Mirror(folder, URL).copy()
    with pytest.raises(ValueError, match="has a run already"):
        mirror.check(URL, None)
    mirror.check(URL, folder)
    shutil.rmtree(folder / "checkpoints/5")
    with pytest.raises(ValueError, match=r"is ahead of .* step 5, not 3"):
        mirror.check(URL, folder)
    (folder / "experiment.toml").write_text("[model]\n")
    with pytest.raises(ValueError, match="has another run"):
        mirror.check(URL, folder)


def test_a_store_that_fails_is_said_and_at_the_end_an_error(folder, store, monkeypatch):
    def fail(*_, **__):
        raise OSError("503 Slow Down")

    with (
        pytest.raises(ValueError, match=r"has not all of .*, which is whole: .*503"),
        mirrored(folder, URL),
    ):
        monkeypatch.setattr(type(store), "pipe_file", fail)
    with pytest.raises(KeyError), mirrored(folder, "memory://runs/b"):
        raise KeyError  # the error of the training is the one that counts


def test_what_is_being_written_is_left_out(folder):
    (folder / "checkpoints/7.orbax-checkpoint-tmp").mkdir()
    (folder / "checkpoints/7.orbax-checkpoint-tmp/array").write_bytes(b"7")
    (folder / "training.json").write_text("{}")
    assert set(mirror.stamps(folder)) == {
        "checkpoints/3/array",
        "checkpoints/5/array",
        "experiment.toml",
        "metrics.jsonl",
    }
