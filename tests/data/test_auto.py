"""What `auto` means for fields of ids: a rule of how many values in how many rows."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from lib.tables import source

from ple_jax.data.auto import encodings_of, with_encodings
from ple_jax.data.encode import Encoder
from ple_jax.data.prepare import prepare
from ple_jax.data.source import Chunk
from ple_jax.schema import Field, Schema, Split, Task

NUMBERS, FEW = ("count", "target_mean"), ("id",)


@pytest.mark.parametrize(
    ("values", "rows", "wanted"),
    [
        (0, 0, FEW),
        (9, 10**6, FEW),
        (9, 9, FEW),
        (10, 299, NUMBERS),
        (10, 300, ("id", *NUMBERS)),
        (1000, 29_999, NUMBERS),
        (1000, 30_000, ("id", *NUMBERS)),
    ],
)
def test_the_rule_is_of_values_and_rows(values, rows, wanted):
    assert encodings_of(values, rows) == wanted


ROWS = 1009


def table():
    random = np.random.default_rng(0)
    text = lambda n: [str(x) for x in random.integers(n, size=ROWS)]
    return pa.table(
        {
            "few": text(7),
            "some": text(13),
            "many": text(251),
            "asked": text(251),
            "lists": ["1|2"] * ROWS,
            "click": random.integers(2, size=ROWS),
        }
    )


SCHEMA = Schema(
    fields=(
        Field("few"),
        Field("some"),
        Field("many"),
        Field("asked", encodings=("id",)),
        Field("lists", "multi_valued"),
    ),
    tasks=(Task("click"),),
    split=Split(),
)
WANTED = {
    "few": FEW,
    "some": ("id", *NUMBERS),
    "many": NUMBERS,
    "asked": ("id",),
    "lists": ("auto",),
}


def test_a_prepared_data_set_records_what_was_chosen(tmp_path):
    made = prepare(source(table(), SCHEMA), tmp_path / "whole")
    assert {f.name: f.encodings for f in made.schema.fields} == WANTED
    assert [c.name for c in made.layout.ids] == ["few", "some", "asked"]
    assert [b.name for b in made.layout.bags] == ["lists"]
    each = [f"{f}:{n}" for f in ("some", "many") for n in ("count", "share")]
    assert set(each) < {c.name for c in made.layout.numbers}


def test_the_choice_is_that_of_any_cut_of_the_rows(tmp_path):
    rows = table()
    cut = source(rows, SCHEMA)._replace(
        chunks=lambda: (Chunk(rows.slice(i, 83), "t", i) for i in range(0, ROWS, 83))
    )
    whole = prepare(source(rows, SCHEMA), tmp_path / "whole")
    parts = prepare(cut, tmp_path / "parts")
    assert parts.schema == whole.schema
    np.testing.assert_array_equal(
        parts.split("train").numbers, whole.split("train").numbers
    )


def test_a_schema_that_was_recorded_with_auto_still_means_ids():
    kept = dataclasses.replace(SCHEMA, fields=SCHEMA.fields[:2])

    values = pa.table({"value": ["a", "b"], "count": [3, 2], "id": [1, 2]})
    encoder = Encoder(kept, {"few": values, "some": values}, {}, ("all",))
    assert [c.name for c in encoder.layout.ids] == ["few", "some"]


def test_values_that_are_rare_do_not_count():
    field = Field("many", min_count=2)
    schema = Schema((field,), (Task("click"),), Split())
    kept = pa.table({"value": [str(i) for i in range(20)], "count": [30] * 20})
    (chosen,) = with_encodings(schema, {"many": kept}).fields
    assert chosen == dataclasses.replace(field, encodings=("id", *NUMBERS))
