"""What looks like a slip in one's own values is said, and nothing else is."""

import dataclasses

import pyarrow as pa
import pytest
from lib.tables import SCHEMA, SCHEMA_TEXT, raw, source, write_csv

from ple_jax.data.encode import Encoder
from ple_jax.data.prepare import prepare
from ple_jax.data.slips import slips
from ple_jax.datasets import table
from ple_jax.schema import Field, Format, Schema, Task


def encoder_of(**columns):
    """An encoder whose vocabularies hold these values."""
    schema = Schema(tuple(map(Field, columns)), (Task("click"),))
    tables = {
        name: pa.table({"value": v, "count": [1] * len(v), "id": range(1, len(v) + 1)})
        for name, v in columns.items()
    }
    return Encoder(schema, tables, {}, ("all",))


def test_words_that_may_mean_nothing_are_said_once():
    said = list(slips(encoder_of(a=["x", "NA"], b=["null", "y"], c=["nab", "unknown"])))
    assert said == [
        'note: "NA", "null" counts as a value of a, b. If it means that none is known, '
        'say so: format.missing = ["NA", "null"]'
    ]


@pytest.mark.parametrize(
    ("values", "pair"),
    [
        (["12", "7", "12.0"], "'12' and '12.0'"),
        (["12.0", "7", "12"], "'12' and '12.0'"),
        (["12.0", "12.00"], "'12.0' and '12.00'"),
        (["true", "False", "TRUE"], "'true' and 'TRUE'"),
        (["2024-05-01 12:30:00", "2024-05-01T12:30:00Z"], "'2024-05-01 12:30:00' and"),
    ],
)
def test_two_spellings_of_a_value_are_said(values, pair):
    (said,) = slips(encoder_of(shop=values))
    assert "spells values of 'shop' in two ways" in said
    assert "(1 in all)" in said
    assert pair in said


def test_what_is_no_slip_is_not_said():
    plain = ["12", "7.5", "12.5", "012", "a.b", "12.0.1", "true", "x:y", "+", "."]
    assert list(slips(encoder_of(shop=plain, item=[None, "7.50"]))) == []


def test_slips_are_said_of_ones_own_files(tmp_path, capsys):
    rows = raw().to_pydict()
    rows["shop"] = ["NA" if shop == "s0" else shop for shop in rows["shop"]]
    write_csv(tmp_path / "a.csv", pa.table(rows))
    (tmp_path / "schema.toml").write_text(SCHEMA_TEXT)
    own = table.build(str(tmp_path / "schema.toml"), (str(tmp_path / "a.csv"),))
    data = prepare(own, tmp_path / "own")
    assert 'note: "NA" counts as a value of shop.' in capsys.readouterr().err
    assert "NA" in data.layout.domains  # a category like any other
    listed = dataclasses.replace(SCHEMA, format=Format(missing=("NA",)), domain=None)
    prepare(own._replace(schema=listed), tmp_path / "listed")
    prepare(source(pa.table(rows)), tmp_path / "other")  # somebody else's
    assert "note" not in capsys.readouterr().err
