"""Encoded rows against a reading by hand, one value at a time."""

import dataclasses
import datetime
import json

import numpy as np
import pyarrow as pa
import pytest
from lib.tables import SCHEMA, raw, rows_of, source

from ple_jax.data import vocabulary
from ple_jax.data.counts import ValueCounts
from ple_jax.data.encode import Encoder
from ple_jax.data.prepare import prepare
from ple_jax.layout import Scale
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


def same_times(times, units, *spellings):
    naive = [pa.array(times, pa.timestamp(unit)) for unit in units]
    zoned = [column.cast(pa.timestamp(column.type.unit, "UTC")) for column in naive]
    there = [column.cast(pa.timestamp("s", "Europe/Berlin")) for column in zoned]
    texts = [[t.strftime(spelling) for t in times] for spelling in spellings]
    return [*naive, *zoned, *there, *map(pa.array, texts)]


UNITS = ("s", "ms", "us", "ns")
DAYS = [datetime.datetime(2024, 5, k) for k in (1, 2, 3)]
MOMENTS = [datetime.datetime(2024, 5, k, 12, 30, k) for k in (1, 2, 3)]
CLOCKS = pa.array([t.time() for t in MOMENTS])
NUMBERS = pa.array([12, 7, 120])
# What the same three values look like in columns of other types.
SAME = {
    "numbers": [
        *(NUMBERS.cast(kind) for kind in (pa.int8(), pa.int16(), pa.int32())),
        *(NUMBERS.cast(kind) for kind in (pa.int64(), pa.uint8(), pa.uint64())),
        *(NUMBERS.cast(kind) for kind in (pa.float16(), pa.float32(), pa.float64())),
        *(NUMBERS.cast(pa.decimal128(38, scale)) for scale in (0, 2, 9)),
        NUMBERS.cast(pa.decimal256(60, 2)),
        *(NUMBERS.cast(kind) for kind in (pa.string(), pa.large_string())),
        pa.array(["12", "7", "120"], pa.string_view()),
        pa.array([b"12", b"7", b"120"]),
        *(
            pa.array(texts)
            for texts in (["+12", "7.0", "120."], ["12.", "+7", "120.0"])
        ),
        NUMBERS.dictionary_encode(),
        NUMBERS.cast(pa.float64()).dictionary_encode(),
        NUMBERS.cast(pa.string()).dictionary_encode(),
    ],
    "truth values": [
        pa.array([True, False, True]),
        pa.array([True, False, True]).dictionary_encode(),
        *(pa.array([a, b, a]) for a, b in (("true", "false"), ("True", "False"))),
        pa.array(["TRUE", "FALSE", "TRUE"]),
    ],
    "days": [
        pa.array(DAYS, pa.date32()),
        pa.array(DAYS, pa.date64()),
        *same_times(
            DAYS, UNITS, "%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.0"
        ),
    ],
    "times": same_times(
        MOMENTS,
        UNITS,
        *("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.000", "%Y-%m-%dT%H:%M:%S.00Z"),
        *("%Y-%m-%dT%H:%M:%S+00:00", "%Y-%m-%d %H:%M:%S+0000"),
    ),
    "times of day": [
        *(CLOCKS.cast(kind) for kind in (pa.time32("s"), pa.time32("ms"))),
        *(CLOCKS.cast(kind) for kind in (pa.time64("us"), pa.time64("ns"))),
        *(pa.array([t.strftime(f"%H:%M:%S{e}") for t in MOMENTS]) for e in ("", ".00")),
    ],
}
PAIRS = [(group, i) for group, columns in SAME.items() for i in range(len(columns))]
ITEM = Schema((Field("item"),), (Task("click"),))


def encoder_of(column):
    """An encoder whose train split holds a column of ids."""
    counts = ValueCounts()
    counts.add(*rows_of(pa.table({"item": column}), ITEM).text("item"))
    return Encoder(ITEM, {"item": counts.vocabulary()}, {}, ("all",))


def ids_of(encoder, column):
    rows = rows_of(pa.table({"item": column}), ITEM)
    return encoder.encode(rows, labels=False).ids[:, 0].tolist()


@pytest.mark.parametrize(("group", "train"), PAIRS)
def test_ids_in_any_other_type_are_found(group, train):
    encoder = encoder_of(SAME[group][train])
    expected = ids_of(encoder, SAME[group][train])
    assert 0 not in expected
    for column in SAME[group]:
        assert ids_of(encoder, column) == expected, column.type
    for other in SAME:
        if other != group:
            assert not any(ids_of(encoder, SAME[other][0]))


@pytest.mark.parametrize(
    ("train", "asked"),
    [
        (["12"], ["012"]),  # a code
        (["12"], ["1.2e1"]),
        (["1"], [True]),
        (["a"], ["A"]),
        (["2024-05-01T12:30:00"], ["2024-05-01T12:30"]),
        (["2024-05-01T12:30:00Z"], ["2024-05-01T14:30:00+02:00"]),
        ([0.1], pa.array([0.1], pa.float16())),  # another number
    ],
)
def test_what_stays_unknown_in_another_spelling(train, asked):
    assert ids_of(encoder_of(train), asked) == [0]


def test_damage_of_an_encoder_names_the_file(data, tmp_path):
    data.encoder.save(tmp_path)
    file = tmp_path / "vocabularies" / "1.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    with pytest.raises(ValueError, match=r"vocabularies/1\.parquet is damaged: "):
        Encoder.load(tmp_path)
    file.write_bytes(whole)
    path = tmp_path / "encoder.json"
    fitted = json.loads(path.read_text())
    path.write_text(json.dumps(fitted)[:-1])
    with pytest.raises(ValueError, match=r"encoder\.json is damaged: it is not JSON"):
        Encoder.load(tmp_path)
    for key in fitted:
        path.write_text(json.dumps({k: v for k, v in fitted.items() if k != key}))
        with pytest.raises(ValueError, match=f"encoder\\.json is damaged: .*{key}"):
            Encoder.load(tmp_path)
    for broken in ([], {**fitted, "numerics": [{}]}, {**fitted, "domains": 1}):
        path.write_text(json.dumps(broken))
        with pytest.raises(ValueError, match=r"encoder\.json is damaged"):
            Encoder.load(tmp_path)


def test_labels_of_squared_tasks_are_scaled_as_train_has_them(tmp_path):
    """Over the task's own sample space; binary tasks, and a constant, as they are."""
    tasks = (
        Task("click"),
        Task("rating", column="stars", given="click", loss="squared"),
        Task("one", loss="squared"),
    )
    rows = raw(211).append_column("one", [["7"] * 211])
    schema = dataclasses.replace(SCHEMA, tasks=tasks)
    data = prepare(source(rows, schema), tmp_path / "prepared")
    split = data.split("train")
    seen = split.labels[split.observed[:, 1], 1].astype(np.float64)
    assert 0 < len(seen) < len(split)
    click, rating, one = data.layout.scales
    assert click == Scale()
    assert rating.mean == pytest.approx(seen.mean())
    assert rating.deviation == pytest.approx(seen.std())
    assert one == Scale(7.0, 1.0)
    assert Encoder.load(data.directory).layout == data.layout
    before = dataclasses.replace(data.encoder, scales={})
    before.save(tmp_path / "before")
    assert "scales" not in json.loads((tmp_path / "before/encoder.json").read_text())
    assert Encoder.load(tmp_path / "before").layout.scales == ()


def test_a_long_vocabulary_is_read_when_it_is_first_used(tmp_path, monkeypatch):
    made = prepare(source(), tmp_path / "prepared")
    monkeypatch.setattr(vocabulary, "READ_AT_ONCE", 3)
    read, read_parquet = [], vocabulary.read_parquet
    monkeypatch.setattr(
        vocabulary, "read_parquet", lambda p: read.append(p.name) or read_parquet(p)
    )
    loaded = Encoder.load(tmp_path / "prepared")
    assert loaded.layout == made.encoder.layout
    assert read == ["0.parquet"]  # three shops
    wanted = made.encoder.encode(rows_of(raw())).arrays()
    for name, array in loaded.encode(rows_of(raw())).arrays().items():
        np.testing.assert_array_equal(array, wanted[name])
    assert read == ["0.parquet", "1.parquet", "2.parquet"]
