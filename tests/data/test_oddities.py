"""Rows of train that other splits repeat, and labels outside their sample spaces."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from lib.tables import SCHEMA, raw, rows_of, source

from ple_jax.data.encode import Encoder
from ple_jax.data.oddities import Oddities
from ple_jax.data.prepare import prepare
from ple_jax.schema import Split

BY_COLUMN = dataclasses.replace(SCHEMA, split=Split(by="column", column="split"))
SIZES = {"train": 251, "validation": 79, "test": 67}


def with_splits(table):
    names = [name for name, rows in SIZES.items() for _ in range(rows)]
    return table.append_column("split", pa.array(names))


def copied(table, froms, tos):
    """The table with rows in the place of others."""
    take = np.arange(len(table))
    take[list(tos)] = list(froms)
    return table.take(pa.array(take))


def oddities(table, folder, schema=BY_COLUMN):
    return prepare(source(with_splits(table), schema), folder).facts["oddities"]


def repeated_by_loop(table):
    """A row is the same if all that the schema names is, but for order within tags."""
    columns = [c for c in table.column_names if c != "weight"]
    rows = [
        tuple(
            tuple(sorted((row[c] or "").split("|")))
            if c == "tags"
            else tuple(sorted((row[c] or "").split()))
            if c == "history"
            else row[c]
            for c in columns
        )
        for row in table.to_pylist()
    ]
    train, first, found = set(rows[: SIZES["train"]]), SIZES["train"], {}
    for split in ("validation", "test"):
        part = rows[first : first + SIZES[split]]
        found[split], first = sum(row in train for row in part), first + len(part)
    return found


def test_rows_that_train_has_are_counted(tmp_path, capsys):
    table = copied(raw(), [3, 5, 7, 300], [260, 261, 340, 341])
    found = oddities(table, tmp_path / "copies")["repeated"]
    assert found == repeated_by_loop(table) == {"validation": 2, "test": 1}
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "2 of 79 rows of validation (2.5%) equal a row of train in every field" in said
    )
    assert "1 of 67 rows of test (1.5%)" in said
    assert oddities(raw(), tmp_path / "none")["repeated"] == repeated_by_loop(raw())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("shop", "s9"),
        ("price", "0.015"),
        ("tags", "z"),
        ("history", "i3 z"),
        ("click", None),
        ("user", "u99"),
    ],
)
def test_a_row_that_differs_anywhere_is_no_copy(tmp_path, column, value):
    schema = dataclasses.replace(BY_COLUMN, unseen_domain="s0")
    columns = copied(raw(), [3], [260]).to_pydict()
    for place in (3, 260):
        columns["click"][place] = "0"
    assert oddities(pa.table(columns), tmp_path / "same", schema)["repeated"] == {
        "validation": 1,
        "test": 0,
    }
    columns[column][260] = value
    found = oddities(pa.table(columns), tmp_path / "other", schema)
    assert found["repeated"] == {"validation": 0, "test": 0}


def test_labels_outside_their_sample_space_are_counted(tmp_path, capsys):
    table = raw().to_pydict()
    table["click"][7], table["buy"][7] = None, "1"
    wrong = sum(
        (c, b) == ("0", "1") for c, b in zip(table["click"], table["buy"], strict=True)
    )
    assert oddities(pa.table(table), tmp_path / "a")["outside"] == {"buy": wrong}
    said = " ".join(capsys.readouterr().err.split())
    assert f"{wrong} labels of 'buy' are 1 where that of 'click' is 0: they are" in said
    table["buy"] = ["1" if c == "1" else "0" for c in table["click"]]
    table["buy"][:9] = ["0"] * 9
    assert oddities(pa.table(table), tmp_path / "b")["outside"] == {}
    assert "outside" not in capsys.readouterr().err


def test_many_rows_are_counted_by_a_sample(monkeypatch):
    monkeypatch.setattr("ple_jax.data.oddities.MOST_KEYS", 1000)
    rng = np.random.default_rng(0)
    train, test = Oddities(), Oddities()
    keys = rng.integers(0, 2**63, 30_000, np.int64).astype(np.uint64)
    for part in np.split(keys, 10):
        train.add_keys(part)
    test.add_keys(keys[:5000])
    test.add_keys(rng.integers(0, 2**63, 700, np.int64).astype(np.uint64))
    assert len(train.keys) <= 1000
    assert test.repeated(train) == pytest.approx(5000, rel=0.2)


def test_rows_to_score_are_not_counted(tmp_path):
    """`predict` has no labels, and pays nothing."""
    data = prepare(source(with_splits(raw()), BY_COLUMN), tmp_path / "data")
    odd = Oddities()
    encoder = Encoder.load(data.directory)
    encoder.encode(rows_of(raw(), BY_COLUMN), labels=False)
    encoder.encode(rows_of(raw(), BY_COLUMN), odd=odd)
    assert len(odd.keys) == len(raw())
