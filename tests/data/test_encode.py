"""Encoded rows against a reading by hand, one value at a time."""

import numpy as np
import pyarrow as pa
from lib.tables import SCHEMA, raw, rows_of, source

from ple_jax.data.encode import Encoder
from ple_jax.data.prepare import prepare
from ple_jax.schema import Field, Schema, Split, Task


def test_examples_equal_a_reading_by_hand(data):
    """Every row of every split, looked up in the vocabularies one value at a time."""
    encoder, layout, rows = data.encoder, data.layout, raw().to_pylist()
    whole = encoder.encode(rows_of(raw()))
    ids = {
        t: dict(zip(v["value"].to_pylist(), v["id"].to_pylist(), strict=True))
        for t, v in encoder.vocabularies.items()
    }
    number = {name: i for i, name in enumerate(layout.domains)}
    for b, row in enumerate(rows):
        columns = {c.name: whole.ids[b, i] for i, c in enumerate(layout.ids)}
        assert columns["shop"] == ids["shop"].get(row["shop"], 0)
        assert columns["item"] == ids["item"].get(row["item"], 0)
        tags = [ids["tags"].get(t, 0) for t in row["tags"].split("|") if t][:3]
        assert [t for t in whole.bags["tags"][b] if t >= 0] == tags
        seen = [ids["item"].get(t, 0) for t in row["history"].split() if t][-2:]
        assert [t for t in whole.bags["history"][b] if t >= 0] == seen
        assert whole.domain[b] == number[row["shop"]]
        clicked = row["click"] == "1"
        rated = row["stars"] != ""
        assert whole.observed[b].tolist() == [True, clicked and row["buy"] != "", rated]
        assert whole.labels[b, 0] == clicked
        assert whole.labels[b, 1] == (clicked and row["buy"] == "1")
        assert whole.labels[b, 2] == (rated and int(row["stars"]) >= 4)
        assert whole.weights[b] == row["weight"]
    users = [row["user"] for row in rows]
    assert len(set(whole.user.tolist())) == len(set(users))


def test_vocabularies_come_from_train_alone(tmp_path):
    rows = raw(60).set_column(0, "shop", [["s0"] * 60])
    split = pa.array(["train"] * 40 + ["validation"] * 10 + ["test"] * 10)
    items = ["a"] * 39 + ["b"] + ["new"] * 20
    rows = rows.set_column(1, "item", [items]).append_column("split", split)
    schema = Schema(SCHEMA.fields, SCHEMA.tasks, Split("column", "split"))
    data = prepare(source(rows, schema), tmp_path / "prepared")
    assert data.encoder.vocabularies["item"]["value"].to_pylist()[0] == "a"
    column = [c.name for c in data.layout.ids].index("item")
    assert not np.array(data.split("validation").ids)[:, column].any()
    assert (data.split("train").ids[:, column] == 1).sum() == 39


def test_an_encoder_survives_the_disk(data, tmp_path):
    data.encoder.save(tmp_path)
    again = Encoder.load(tmp_path)
    assert again.layout == data.layout
    old, new = (
        data.encoder.encode(rows_of(raw())).arrays(),
        again.encode(rows_of(raw())).arrays(),
    )
    for name in old:
        np.testing.assert_array_equal(old[name], new[name])


def test_rows_without_labels_can_be_encoded(data):
    rows = raw().drop_columns(["click", "buy", "stars", "user", "weight"])
    got = data.encoder.encode(rows_of(rows), labels=False)
    np.testing.assert_array_equal(got.ids, data.encoder.encode(rows_of(raw())).ids)
    assert not got.observed.any()


def test_train_may_have_written_its_numbers_in_any_way():
    """What train has to the letter is found first, then what has the same value."""
    vocabulary = pa.table({"value": ["12.0", "7", "7.0"], "count": [3, 2, 1]})
    schema = Schema((Field("item"),), (Task("click"),))
    encoder = Encoder(schema, {"item": vocabulary}, {}, ("all",))
    asked = pa.table({"item": ["12", "12.0", "7.0", "7", "7.00", "70", "x", None]})
    got = encoder.encode(rows_of(asked, schema), labels=False)
    assert got.ids[:, 0].tolist() == [1, 1, 3, 2, 2, 0, 0, 0]
