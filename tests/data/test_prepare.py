"""Preparing a data set: the same however rows are cut, whole or not at all."""

import pyarrow as pa
import pytest
from lib.tables import raw, source

from ple_jax.data.prepare import load_or_prepare, prepare
from ple_jax.data.source import Chunk


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


def test_weights_that_leave_a_task_without_examples_are_an_error(tmp_path):
    rows = raw()
    zeros = pa.array([0.0] * len(rows))
    rows = rows.set_column(rows.column_names.index("weight"), "weight", zeros)
    message = "column 'weight' gives all of its examples in train the weight 0"
    with pytest.raises(ValueError, match=f"Task 'click' cannot be learned: {message}"):
        prepare(source(rows), tmp_path / "prepared")
