"""Counts of categorical values as numbers, and what rare values share."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
from lib.tables import SCHEMA, raw, rows_of, source

from ple_jax.data.encode import Encoder
from ple_jax.data.prepare import prepare
from ple_jax.data.split import assigner
from ple_jax.data.store import Prepared
from ple_jax.data.train_counts import Counts
from ple_jax.data.unknown import UnknownIds
from ple_jax.schema import Field, Schema, Split, Task

COUNTED = Schema(
    fields=(
        Field("item", encodings=("count",)),
        Field("tags", "multi_valued", encodings=("id", "count")),
    ),
    tasks=(Task("click"),),
    split=SCHEMA.split,
)
BY_SPLIT = Split("column", "split")


def test_counts_equal_a_count_by_hand(tmp_path):
    """Other values of train that are the same; z-scores over train."""
    data = prepare(source(schema=COUNTED), tmp_path / "prepared")
    split, _ = assigner(source(schema=COUNTED))(rows_of(raw(), COUNTED), 0)
    rows = raw().to_pylist()
    values_of = {
        "item": lambda row: [row["item"]],
        "tags": lambda row: [t for t in row["tags"].split("|") if t],
    }
    names = [column.name for column in data.layout.numbers]
    assert names == ["item:count", "item:share", "tags:count", "tags:share"]
    train = [rows[b] for b in np.flatnonzero(split == 0)]
    for f, values in enumerate(values_of.values()):
        found = [v for row in train for v in values(row)]
        logs = [np.log(found.count(v)) for v in found]
        shares = [(found.count(v) - 1) / len(found) for v in found]
        for number, part in enumerate(("train", "validation", "test")):
            got = data.split(part).numbers
            for k, b in enumerate(np.flatnonzero(split == number)):
                n = [found.count(v) - (number == 0) for v in values(rows[b])]
                log = [(np.log1p(m) - np.mean(logs)) / np.std(logs) for m in n]
                share = [m / len(found) - np.mean(shares) for m in n] / np.std(shares)
                wanted = [np.mean(log), np.mean(share)] if n else [0.0, 0.0]
                np.testing.assert_allclose(got[k, 2 * f : 2 * f + 2], wanted, atol=1e-4)


def log_of(train, validation, **options):
    """A prepared data set of one field `item`, whose labels mean nothing."""
    items = [*train, *validation, *validation]
    parts = ["train", "validation", "test"]
    sizes = [len(train), len(validation), len(validation)]
    click = np.arange(len(items)) % 2
    split = np.repeat(parts, sizes)
    table = pa.table({"item": items, "click": click, "split": split})
    return table, Schema((Field("item", **options),), (Task("click"),), BY_SPLIT)


TRAIN = ["a"] * 5 + ["b"] * 3 + ["c", "d", None, None]
NEW = ["a", "b", "c", "d", "never", None]


@pytest.mark.parametrize(
    ("encoding", "wanted"),
    [("id", [1, 2, 0, 0, 0, 0]), ("rare", [1, 2, 3, 3, 3, 0])],
)
def test_rare_values_share_an_id_that_missing_ones_do_not_have(
    tmp_path, encoding, wanted
):
    options = {"encodings": (encoding,), "min_count": 2}
    data = prepare(source(*log_of(TRAIN, NEW, **options)), tmp_path / "prepared")
    assert data.split("validation").ids[:, 0].tolist() == wanted
    assert data.layout.ids[0].rows == max(wanted) + 1
    assert data.split("train").ids[8:, 0].tolist() == [*wanted[2:4], 0, 0]


def test_rare_values_have_one_count_and_one_mean(tmp_path):
    train = [*"aaaabbbb", *"cdefgh"] * 2  # c to h occur twice
    options = {"encodings": ("rare", "count", "target_mean"), "min_count": 3}
    table, schema = log_of(train, NEW, **options)
    data = prepare(source(table, schema), tmp_path / "prepared")
    numbers = np.array(data.split("validation").numbers)
    np.testing.assert_array_equal(numbers[2], numbers[3])
    np.testing.assert_array_equal(numbers[2], numbers[4])  # one that train lacks
    assert (numbers[2] != numbers[0]).any()
    vocabulary = data.encoder.vocabularies["item"].to_pydict()
    assert vocabulary["value"] == ["a", "b", None]
    assert vocabulary["count"] == [8, 8, 12]
    means = data.encoder.categoricals["item"].means
    assert means.pairs.n[:, 0].tolist() == [8, 8, 12]


def test_sums_of_many_values_are_read_when_they_are_first_used(tmp_path, monkeypatch):
    table, schema = log_of([*"aabbcd"] * 2, NEW, encodings=("target_mean",))
    data = prepare(source(table, schema), tmp_path / "prepared")
    path = data.directory / "target_means" / "0.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 255
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        Encoder.load(data.directory)
    monkeypatch.setattr("ple_jax.data.target_mean.READ_AT_ONCE", 3)
    later = Encoder.load(data.directory)
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        later.encode(rows_of(table, schema))


def test_pooled_values_do_not_see_their_fold(tmp_path, monkeypatch):
    """What all rare values of a fold had is left out, not only the value's own."""
    monkeypatch.setattr("ple_jax.data.target_fit.fit_strength", lambda *a: 1.0)
    train = [f"v{k}" for k in range(200)]
    options = {"encodings": ("rare", "target_mean"), "min_count": 2}
    table, schema = log_of(train, NEW, **options)
    data = prepare(source(table, schema), tmp_path / "prepared")
    _, fold = assigner(source(table, schema))(rows_of(table, schema), 0)
    column, y = data.split("train").numbers[:, 0], np.array(table["click"])[:200]
    prior = data.encoder.categoricals["item"].means.priors[0]
    for k in range(5):
        others = y[fold[:200] != k]
        p = (others.sum() + prior.mean) / (len(others) + 1)
        logit = np.log(p / (1 - p)) - np.log(prior.mean / (1 - prior.mean))
        np.testing.assert_allclose(
            column[fold[:200] == k], logit / prior.scale, rtol=1e-4
        )


def test_what_train_lacks_is_said_to_be_unknown_though_it_is_rare(tmp_path):
    options = {"encodings": ("rare",), "min_count": 2}
    data = prepare(source(*log_of(TRAIN, NEW, **options)), tmp_path / "prepared")
    unknown = UnknownIds()
    rows = rows_of(pa.table({"item": ["never", "a", None]}), data.schema)
    data.encoder.encode(rows, labels=False, unknown=unknown)
    assert (unknown.fields["item"].values, unknown.fields["item"].unknown) == (2, 1)


def every_encoding():
    encodings = ("rare", "count", "target_mean")
    shop, item, *_, history = SCHEMA.fields
    fields = (
        dataclasses.replace(shop, encodings=("count", "target_mean")),
        dataclasses.replace(item, encodings=encodings),
        dataclasses.replace(history, encodings=("id", "count", "target_mean")),
    )
    return dataclasses.replace(SCHEMA, fields=fields)


def test_an_encoder_survives_the_disk(tmp_path):
    data = prepare(source(schema=every_encoding()), tmp_path / "prepared")
    again = Encoder.load(tmp_path / "prepared")
    assert again.layout == data.layout
    rows = rows_of(raw(), data.schema)
    old, new = data.encoder.encode(rows).arrays(), again.encode(rows).arrays()
    for name in old:
        np.testing.assert_array_equal(old[name], new[name])
    np.testing.assert_array_equal(
        data.split("test").numbers[:3],
        again.encode(rows_of(raw(), data.schema)).numbers[
            assigner(source())(rows_of(raw()), 0)[0] == 2
        ][:3],
    )


def test_damage_of_means_is_named(tmp_path):
    """They count in the fingerprint, and are read when a data set is opened."""
    directory = tmp_path / "prepared"
    data = prepare(source(schema=every_encoding()), directory)
    assert "target_means/0.parquet" in data.facts["checksums"]
    assert "target_means/0.parquet" in data.small_files()
    path = directory / "target_means" / "0.parquet"
    path.chmod(0o644)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"target_means.0\.parquet"):
        Prepared.open(directory).verify()


def test_counts_that_need_folds_say_so():
    counts = Counts(every_encoding())
    with pytest.raises(ValueError, match=r"\['shop', 'item', 'history'\] have target"):
        counts.add(rows_of(raw()))


def test_columns_are_named_by_field_encoding_and_task(tmp_path):
    data = prepare(source(schema=every_encoding()), tmp_path / "prepared")
    assert [c.name for c in data.layout.ids] == ["item"]
    assert [b.name for b in data.layout.bags] == ["history"]
    kinds = ["count", "share", *(f"target_mean:{t.name}" for t in SCHEMA.tasks)]
    wanted = [f"{f}:{k}" for f in ("shop", "item", "history") for k in kinds]
    assert [c.name for c in data.layout.numbers] == wanted


def test_a_data_set_without_them_is_written_as_before(tmp_path):
    """No key, no file and no column more, so that fingerprints stay."""
    data = prepare(source(), tmp_path / "prepared")
    facts = json.loads((tmp_path / "prepared" / "encoder.json").read_text())
    assert list(facts) == ["schema", "domains", "vocabularies", "numerics"]
    assert not (tmp_path / "prepared" / "target_means").exists()
    for name, table in data.encoder.vocabularies.items():
        assert table.column_names == ["value", "count", "id"], name
