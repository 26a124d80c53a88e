"""Raw columns: what is stripped, and what is missing."""

import pyarrow as pa

from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk
from ple_jax.schema import Format


def test_text_is_stripped_and_missing_values_are_unknown():
    table = pa.table({"x": [" NA", "NA ", "?", "", None, "a b."]})
    codes, values = Rows(Chunk(table, "t"), Format(missing=("?",))).text("x")
    assert [values[int(c)].as_py() for c in codes] == [
        "NA",
        "NA",
        None,
        None,
        None,
        "a b.",
    ]
