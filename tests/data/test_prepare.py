"""Preparing a data set: the same however rows are cut, whole or not at all."""

import collections
import dataclasses
import functools
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.prepared import arrays_of
from lib.tables import SCHEMA, raw, source, with_value, write_csv

from ple_jax.data import places, writer
from ple_jax.data.files import file_identity
from ple_jax.data.prepare import load_or_prepare, prepare
from ple_jax.data.read import read
from ple_jax.data.source import Chunk, Source
from ple_jax.schema import Field, Schema, Split, Task


@pytest.mark.parametrize("chunk", [1, 37, 1000])
def test_how_rows_are_cut_into_chunks_changes_nothing(data, tmp_path, chunk):
    other = prepare(source(chunk=chunk), tmp_path / "other")
    assert other.layout == data.layout
    assert other.fingerprint == data.fingerprint


def test_an_interrupted_prepare_leaves_nothing(tmp_path):
    def broken():
        yield Chunk(raw(), "first")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source()._replace(chunks=broken), tmp_path / "prepared")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_label_is_said_before_all_rows_are_read(tmp_path):
    rows, read_rows = source(with_value("click", 3, "yes"), chunk=20), []

    def chunks():
        for chunk in rows.chunks():
            read_rows.append(chunk.first)
            yield chunk

    with pytest.raises(ValueError, match="row 4, column 'click': expected a number"):
        prepare(rows._replace(chunks=chunks), tmp_path / "out")
    assert read_rows == [0]


def test_a_prepared_data_set_is_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path))
    first = load_or_prepare(source())
    again = load_or_prepare(source()._replace(chunks=None))
    assert first.directory == again.directory


def test_who_prepares_second_takes_what_the_first_one_made(tmp_path, monkeypatch):
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path))
    first = []

    def overtaken():
        if not first:  # in the middle of the second one's work
            first.append(load_or_prepare(source()))
        return source().chunks()

    second = load_or_prepare(source()._replace(chunks=overtaken))
    assert second.directory == first[0].directory
    assert list(second.directory.parent.iterdir()) == [second.directory]


BY_TIME = dataclasses.replace(SCHEMA, split=Split("time", "time"))


def write_log(path, rows, step=1):
    times = np.arange(rows)[::step]
    write_csv(path, raw(rows).append_column("time", [times]))


CHANGES = {
    "grown": lambda path: write_log(path, 401),
    "cut": lambda path: write_log(path, 389),
    "reordered": lambda path: write_log(path, 397, step=-1),
    "touched": lambda path: os.utime(path, ns=(0, 0)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("passes", [1, 2])
def test_a_file_that_changes_between_passes_is_named(tmp_path, change, passes):
    """The passes here: over all times, over all counts, over all rows."""
    write_log(path := tmp_path / "log.csv", 397)
    done = []

    def chunks():
        if len(done) == passes:
            change(path)
        done.append(None)
        return read([path], BY_TIME)

    with pytest.raises(ValueError, match=r"log.csv changed while it was read"):
        prepare(Source(BY_TIME, chunks, {}), tmp_path / "prepared")
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_that_changes_within_a_pass_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("ple_jax.data.csv_file.CSV_BLOCK", 1000)
    write_log(path := tmp_path / "log.csv", 397)
    chunks = read([path], BY_TIME)
    next(chunks)
    write_log(path, 401)
    with pytest.raises(ValueError, match=r"log.csv changed while it was read"):
        list(chunks)


@pytest.mark.parametrize("rows", [391, 397, 401])
def test_rows_of_no_file_are_counted(tmp_path, rows):
    sizes = iter([397, rows])
    chunks = lambda: source(raw(next(sizes))).chunks()
    changing = source()._replace(chunks=chunks)
    if rows == 397:
        prepare(changing, tmp_path / "prepared")
    else:
        with pytest.raises(ValueError, match="raw changed while it was read"):
            prepare(changing, tmp_path / "prepared")


def test_weights_that_leave_a_task_without_examples_are_an_error(tmp_path):
    rows = raw()
    zeros = pa.array([0.0] * len(rows))
    rows = rows.set_column(rows.column_names.index("weight"), "weight", zeros)
    message = "column 'weight' gives all of its examples in train the weight 0"
    with pytest.raises(ValueError, match=f"Task 'click' cannot be learned: {message}"):
        prepare(source(rows), tmp_path / "prepared")


def test_rows_that_move_to_another_split_are_an_error(tmp_path):
    """No file, and no more rows, but another split than when they were counted."""
    splits = iter([["train", "validation", "test"], ["train", "test", "test"]])

    def chunks():
        names = next(splits) * 11
        yield Chunk(raw(33).append_column("split", [names]), "raw")

    schema = dataclasses.replace(SCHEMA, split=Split("column", "split"))
    message = "validation had 11 of them, and then 0"
    with pytest.raises(ValueError, match=f"rows changed .*: {message}"):
        prepare(Source(schema, chunks, {}), tmp_path / "prepared")
    assert [*tmp_path.iterdir()] == []


# The identity of a file.


@pytest.fixture
def csv(tmp_path, monkeypatch):
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    write_csv(path := tmp_path / "rows.csv")
    return path


def load(path):
    chunks = lambda: read([path], SCHEMA)
    return load_or_prepare(Source(SCHEMA, chunks, {"files": [file_identity(path)]}))


def other_rows(path):
    """Other rows in a file of the same size, with the time of the first one."""
    first = path.stat()
    text = path.read_text()
    path.write_text(text.replace("s2,", "s1,"))
    os.utime(path, ns=(first.st_atime_ns, first.st_mtime_ns))
    assert path.stat().st_size == first.st_size
    assert path.stat().st_mtime_ns == first.st_mtime_ns


def replaced(path):
    path.rename(first := path.with_name("first.csv"))
    path.write_bytes(first.read_bytes())
    other_rows(path)
    os.utime(path, ns=(0, first.stat().st_mtime_ns))


@pytest.mark.parametrize("change", [other_rows, replaced])
def test_another_file_of_the_same_size_and_time_is_another_data_set(change, csv):
    first = load(csv)
    assert load(csv).directory == first.directory
    change(csv)
    assert load(csv).layout.domains != first.layout.domains


@pytest.mark.parametrize("change", [other_rows, replaced])
def test_control_by_size_and_mtime_it_is_the_same(change, csv, monkeypatch):
    stamp = lambda path: (path.stat().st_size, path.stat().st_mtime_ns)
    monkeypatch.setattr("ple_jax.data.files.file_stamp", stamp)
    first = load(csv)
    change(csv)
    assert load(csv).directory == first.directory


# Names of columns.


def of_columns(names, kind="multi_valued"):
    """A source whose fields are columns of these names."""
    fields = tuple(Field(name, kind, max_length=3) for name in names)
    label = "label of none of them"
    schema = Schema(fields, (Task(label),), Split(fractions=(0.4, 0.3, 0.3)))
    letters = np.random.default_rng(0).choice(list("abcd|"), (len(names), 41, 4))
    columns = [["".join(items) for items in column] for column in letters.tolist()]
    table = pa.table([*columns, ["0", "1"] * 20 + ["0"]], [*names, label])
    return source(table, schema)


def files_in(folder):
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(path for path in paths if "." in path)


ODD = ["../../../evil", "a/b", "/etc/passwd", "CON", "nul.npy", ".", "..", "", " ", "x"]
ODD += [
    "X",
    "n" * 300,
    "\0",
    "a\0b",
    "\n",
    "\u202e",
    "ids",
    "bags/0",
    "bags/1",
    "\x1b[2J",
]


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """(how many, kind) -> a data set whose columns have plain names."""

    @functools.cache
    def made(count, kind):
        names = [f"c{i}" for i in range(count)]
        folder = tmp_path_factory.mktemp("plain")
        return prepare(of_columns(names, kind), folder / "prepared")

    return made


def check_names(names, kind, folder, other):
    """Columns of these names give what columns of plain names do, in the same files."""
    made = prepare(of_columns(names, kind), folder / "odd")
    assert [path.name for path in folder.iterdir()] == ["odd"]
    assert files_in(folder / "odd") == files_in(other.directory)
    wanted = arrays_of(other)
    for (split, array), found in arrays_of(made).items():
        name = array.removeprefix("bags/")
        as_plain = f"bags/c{names.index(name)}" if name != array else array
        np.testing.assert_array_equal(found, wanted.pop((split, as_plain)))
    assert not wanted
    copy = made.copy_to(folder / "copy")
    assert [bag.name for bag in copy.layout.bags] == names[: len(copy.layout.bags)]
    copy.verify()


@pytest.mark.parametrize("kind", ["multi_valued", "sequence", "categorical"])
def test_odd_names_become_no_paths(kind, plain, tmp_path):
    check_names(ODD, kind, tmp_path, plain(len(ODD), kind))


@settings(max_examples=20, deadline=None)
@given(names=st.lists(st.text(), min_size=1, max_size=3, unique=True))
def test_no_name_becomes_a_path(names, plain):
    with tempfile.TemporaryDirectory() as folder:
        other = plain(len(names), "multi_valued")
        check_names(names, "multi_valued", pathlib.Path(folder), other)


@pytest.mark.parametrize("name", ODD[:3])
def test_control_a_path_from_a_name_is_caught(name, plain, tmp_path, monkeypatch):
    other = plain(1, "multi_valued")
    named = lambda arrays: {array: f"{array}.npy" for array in arrays}
    for module in (places, writer):
        monkeypatch.setattr(module, "array_files", named)
    (folder := tmp_path / "folder").mkdir()
    with pytest.raises((AssertionError, ValueError, OSError)):
        check_names([name], "multi_valued", folder, other)


# Space.


def test_how_many_rows_are_encoded_at_once_changes_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MOST_BYTES", 400)
    assert prepare(source(), tmp_path / "other").fingerprint == data.fingerprint


def test_a_row_that_is_too_long_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MOST_BYTES", 70)
    message = "A prepared row takes 71 bytes, of which 12 are of 'ids': expected at mo"
    with pytest.raises(ValueError, match=message):
        prepare(source(), tmp_path / "prepared")
    assert [*tmp_path.iterdir()] == []


def test_a_data_set_that_does_not_fit_is_an_error(tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "free")
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: usage(28186))
    with pytest.raises(ValueError, match=r"takes 28,187 bytes, but only 28,186 are fr"):
        prepare(source(), tmp_path / "prepared")
    assert [*tmp_path.iterdir()] == []
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: usage(28187))
    prepare(source(), tmp_path / "prepared")


LIMITED = """
import pathlib, resource, sys
from lib.tables import raw, source
from ple_jax.data.prepare import prepare
size, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    prepare(source(raw(997)), folder / "prepared")
except OSError as error:
    print(error.strerror, error.filename)
"""


@pytest.mark.parametrize("size", [100, 1500, 2500, 5000])
def test_a_file_that_cannot_grow_is_an_error_that_names_it(size, tmp_path):
    """As a full disk, a quota or a limit has it; a map would end the process."""
    run = [sys.executable, "-c", LIMITED, str(size), str(tmp_path)]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        run, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert f"{tmp_path}/.partial-" in done.stdout
    assert [*tmp_path.iterdir()] == []
