"""A chunk of raw rows, and the columns added to it."""

import numpy as np
import pyarrow as pa
import pytest

from ple_jax.data.source import Chunk


def test_a_chunk_takes_columns_of_numpy_and_arrow_and_one_string_for_all_rows():
    table = pa.table({"a": [3, 5, 7]})
    chunk = Chunk(table, "file", first=11, stamp=(2, 13)).with_columns(
        b=np.array([1, 0, 1], np.int8), c=pa.array(["x", "y", None]), d="train"
    )
    assert chunk[1:] == ("file", 11, (2, 13))
    assert chunk.table.column_names == ["a", "b", "c", "d"]
    assert chunk.table["b"].type == pa.int8()
    assert chunk.table.slice(1).to_pylist() == [
        {"a": 5, "b": 0, "c": "y", "d": "train"},
        {"a": 7, "b": 1, "c": None, "d": "train"},
    ]


def test_a_column_of_another_length_is_refused():
    with pytest.raises(pa.ArrowInvalid, match="2"):
        Chunk(pa.table({"a": [3, 5, 7]}), "file").with_columns(b=np.zeros(2))
