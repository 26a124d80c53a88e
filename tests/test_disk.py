"""Files that appear whole or not at all."""

import errno
import os
import pathlib
import subprocess
import sys

import pytest

from ple_jax import disk
from ple_jax.disk import (
    new_directory,
    new_file,
    read_json,
    remove_leftovers,
    replace_file,
    write_json,
)


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "table.json"
    path.write_text("old")
    with replace_file(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("old", ["old", None])
def test_an_error_leaves_what_was_there(tmp_path, old):
    path = tmp_path / "table.json"
    if old is not None:
        path.write_text(old)
    before = [*tmp_path.iterdir()]

    def stopped():
        with replace_file(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [*tmp_path.iterdir()] == before
    assert not before or path.read_text() == old


def test_two_writers_of_one_file_do_not_share_a_name(tmp_path):
    path = tmp_path / "table.json"
    with replace_file(path) as one, replace_file(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_beside_the_target_is_not_followed(tmp_path):
    outside, path = tmp_path / "outside", tmp_path / "table.json"
    outside.write_text("mine")
    (tmp_path / "table.json.partial").symlink_to(outside)
    with replace_file(path) as partial:
        partial.write_text("new")
    assert outside.read_text() == "mine"
    assert not path.is_symlink()


def test_a_taken_name_is_an_error_and_never_followed(tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda n: "taken")
    (tmp_path / f"{disk.PARTIAL}taken").symlink_to(outside)
    with pytest.raises(FileExistsError), replace_file(tmp_path / "new") as partial:
        partial.write_text("new")
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_replaces_nothing(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise PermissionError("no links here")

    if not links:
        monkeypatch.setattr("os.link", refuse)
    path = tmp_path / "new"
    with new_file(path) as partial:
        partial.write_text("first")

    def overtaken():
        with new_file(tmp_path / "other") as partial:
            partial.write_text("late")
            (tmp_path / "other").write_text("early")

    with pytest.raises(FileExistsError, match="choose a new file"):
        overtaken()
    assert (tmp_path / "other").read_text() == "early"
    assert path.read_text() == "first"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "other"]


# What is on the disk.


@pytest.fixture
def events(monkeypatch):
    """The names of what is synced or renamed, in order."""
    seen, sync = [], os.fsync

    def noting(number):
        seen.append(f"sync {named(os.readlink(f'/proc/self/fd/{number}'))}")
        sync(number)

    def named(path):
        name = pathlib.Path(path).name
        return "partial" if name.startswith(disk.PARTIAL) else name

    def hook(event, arguments):
        if hook.active and event in ("os.rename", "os.link"):
            seen.append(f"{event[3:]} {named(arguments[0])}")

    hook.active = True
    sys.addaudithook(hook)
    monkeypatch.setattr("os.fsync", noting)
    yield seen
    hook.active = False


@pytest.mark.parametrize(
    ("write", "named"), [(replace_file, "rename"), (new_file, "link")]
)
def test_a_file_is_on_the_disk_before_and_after_it_is_named(
    write, named, tmp_path, events
):
    with write(tmp_path / "file") as partial:
        partial.write_text("new")
    wanted = ["sync partial", f"{named} partial", f"sync {tmp_path.name}"]
    assert events == wanted


def test_all_of_a_directory_is_on_the_disk_before_and_after_it_is_named(
    tmp_path, events
):
    with new_directory(tmp_path / "new") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "a").touch()
        (partial / "b").touch()
    assert sorted(events[:4]) == ["sync a", "sync b", "sync inner", "sync partial"]
    assert events[4:] == ["rename partial", f"sync {tmp_path.name}"]


def test_control_of_a_writer_that_does_not_sync(tmp_path, events, monkeypatch):
    monkeypatch.setattr(disk, "sync", lambda path: None)
    with replace_file(tmp_path / "file") as partial:
        partial.write_text("new")
    assert events == ["rename partial"]


@pytest.mark.parametrize("fault", [errno.EINVAL, errno.EIO, errno.ENOSPC])
def test_a_folder_that_cannot_be_synced_is_no_error_but_a_fault_is(
    fault, tmp_path, monkeypatch
):
    path = tmp_path / "file"

    def refuse(number):
        raise OSError(fault, os.strerror(fault))

    def write():
        with replace_file(path) as partial:
            partial.write_text("new")

    monkeypatch.setattr("os.fsync", refuse)
    if fault == errno.EINVAL:
        write()
        assert path.read_text() == "new"
    else:
        with pytest.raises(OSError, match="partial") as raised:
            write()
        assert raised.value.errno == fault
        assert not [*tmp_path.iterdir()]


# What dead processes leave behind.

WRITE = """
import pathlib, sys
from ple_jax import disk
with getattr(disk, sys.argv[1])(pathlib.Path(sys.argv[2])) as partial:
    (partial / "inner" if partial.is_dir() else partial).write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""
writers = pytest.mark.parametrize(
    "write", ["replace_file", "new_file", "new_directory"]
)


def killed_after(write, path, act):
    """Kills a process that was writing, once `act` is done."""
    command = [sys.executable, "-c", WRITE, write, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as writer:
        assert writer.stdout.readline() == b"writing\n"
        act()
        writer.kill()


def partials(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".partial")]


def next_write(folder):
    write_json(folder / "other.json", 1)


@writers
def test_the_next_writer_removes_what_a_dead_one_left_but_not_a_living_ones(
    write, tmp_path
):
    def act():
        next_write(tmp_path)
        assert len(partials(tmp_path)) == 1

    killed_after(write, tmp_path / "new", act)
    assert len(partials(tmp_path)) == 1
    next_write(tmp_path)
    assert not partials(tmp_path)
    assert not (tmp_path / "new").exists()


def test_control_of_a_writer_that_is_not_locked(tmp_path, monkeypatch):
    """It would lose what it writes to the next writer."""
    monkeypatch.setattr(disk, "_lock", lambda path: os.open(path, os.O_RDONLY))
    with replace_file(tmp_path / "new") as partial:
        remove_leftovers(tmp_path)
        assert not partial.exists()
        partial.touch()


def test_what_is_of_another_host_or_no_leftover_stays(tmp_path):
    names = [".partial-0-x", f"{disk.PARTIAL}pipe", f"{disk.PARTIAL}link", ".partial"]
    (tmp_path / names[0]).touch()
    (tmp_path / names[3]).touch()
    (tmp_path / names[2]).symlink_to(tmp_path / names[0])
    next_write(tmp_path)
    assert set(partials(tmp_path)) == {names[0], names[2], names[3]}


def test_a_pipe_does_not_stop_a_writer(tmp_path):
    os.mkfifo(tmp_path / f"{disk.PARTIAL}pipe")
    next_write(tmp_path)


@pytest.mark.parametrize("name", ["os.open", "fcntl.flock"])
def test_what_is_taken_for_a_leftover_before_it_is_locked_is_made_anew(
    name, tmp_path, monkeypatch
):
    """Another writer removes it just before a call of this name."""
    module, _, function = name.partition(".")
    original, left, lock = getattr(sys.modules[module], function), [2], disk._lock

    def lock_late(path):
        def late(*arguments):
            left[0] -= 1
            path.unlink()
            return original(*arguments)

        with monkeypatch.context() as patch:
            if left[0]:
                patch.setattr(name, late)
            return lock(path)

    monkeypatch.setattr(disk, "_lock", lock_late)
    with replace_file(tmp_path / "new") as partial:
        partial.write_text("whole")
    assert left == [0]
    assert (tmp_path / "new").read_text() == "whole"


# JSON.


def test_json_reads_back(tmp_path):
    tree = {"a": [1, None, "\u00e9"], "b": 0.1}
    write_json(tmp_path / "new.json", tree)
    assert read_json(tmp_path / "new.json") == tree


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_holds_no_nan(number, tmp_path):
    with pytest.raises(ValueError, match=r"new.json cannot be written: .*not JSON"):
        write_json(tmp_path / "new.json", {"a": number})
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n "b" 2}', "it is not JSON .*line 2, column 6"),
        (b"", "it is not JSON .*line 1, column 1"),
        (b'{"\xff": 1}', "it is not UTF-8 .*byte 2"),
        (b"[" * 100_000, "it is nested too deep"),
    ],
)
def test_damaged_json_is_named(content, message, tmp_path):
    (tmp_path / "old.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"old.json is damaged: {message}"):
        read_json(tmp_path / "old.json")
