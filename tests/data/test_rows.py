"""Raw columns: what is stripped, and what is missing."""

from decimal import Decimal

import pyarrow as pa

from ple_jax.data.arrow import as_text, plain_spelling
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


def test_a_number_has_one_text_in_every_type():
    floats = pa.array([12.0, -3.0, 0.5, 2.0**31, 2.0**62, None, float("nan"), 1e300])
    text = ["12", "-3", "0.5", "2147483648", "4611686018427387904", None, None]
    assert as_text(floats)[:-1].to_pylist() == text
    narrow = floats[:-1].cast(pa.float32())
    assert as_text(narrow).to_pylist() == text
    decimals = [
        None if d is None else Decimal(d) for d in ("12", "12.5", "-.05", "0", None)
    ]
    assert as_text(pa.array(decimals, pa.decimal128(20, 2))).to_pylist() == [
        "12",
        "12.5",
        "-0.05",
        "0",
        None,
    ]


def test_only_numbers_are_written_another_way():
    given = [
        "12.0",
        "+12",
        "12.50",
        "120",
        "0.0",
        "-7.",
        "1.0.0",
        "012",
        "v1.0",
        "",
        ".",
    ]
    plain = ["12", "12", "12.5", "120", "0", "-7", "1.0.0", "012", "v1.0", "", "."]
    assert plain_spelling(pa.array(given)).to_pylist() == plain
