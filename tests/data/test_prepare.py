"""Preparing a data set: the same however rows are cut, whole or not at all."""

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pytest
from lib.tables import SCHEMA, raw, source, write_csv

from ple_jax.data.prepare import load_or_prepare, prepare
from ple_jax.data.read import read
from ple_jax.data.source import Chunk, Source
from ple_jax.schema import Split


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
