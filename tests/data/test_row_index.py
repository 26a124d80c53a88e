"""Which rows of the raw files are in which split, kept and shown."""

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from lib.damage import with_facts
from lib.prepared import sizes
from lib.tables import SCHEMA, raw, source, write_csv
from lib.training import call

from ple_jax.data.files import file_identity
from ple_jax.data.places import INDEX
from ple_jax.data.prepare import prepare
from ple_jax.data.read import read
from ple_jax.data.row_index import RowIndex
from ple_jax.data.source import Source
from ple_jax.data.store import Prepared
from ple_jax.datasets.table import source_of
from ple_jax.splits import SPLITS, Split

ROWS = {"a.csv": 211, "b.csv": 107}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files, whose weights number their rows (b's from 1001 on), and data, made of
    pieces of a few rows."""
    folder, first = tmp_path_factory.mktemp("files"), 1
    for name, rows in ROWS.items():
        table = raw(rows)
        place = table.column_names.index("weight")
        weights = pa.array(np.arange(rows) + first, pa.int64())
        write_csv(folder / name, table.set_column(place, "weight", weights))
        first += 1000
    files = [folder / name for name in ROWS]
    schema = dataclasses.replace(SCHEMA, split=Split(seed=5, fractions=(0.5, 0.3, 0.2)))
    identity = {"kind": "table", "files": [file_identity(path) for path in files]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ple_jax.data.csv_file.CSV_BLOCK", 1000)
        prepare(Source(schema, lambda: read(files, schema), identity), folder / "data")
    return folder


def numbers(table, folder):
    """The weights of the rows that a table lists."""
    starts = {str(folder / "a.csv"): 0, str(folder / "b.csv"): 1000}
    pairs = zip(table["file"].to_pylist(), table["row"].to_pylist(), strict=True)
    return [starts[file] + row for file, row in pairs]


@pytest.mark.parametrize("split", SPLITS)
def test_the_rows_of_a_split_are_those_it_holds_in_order(folder, split, monkeypatch):
    monkeypatch.setattr("ple_jax.data.row_index.MOST_ROWS", 37)
    data = Prepared.open(folder / "data")
    table = pa.concat_tables(RowIndex.open(data).tables(split))
    assert set(table["split"].to_pylist()) == {split}
    np.testing.assert_array_equal(numbers(table, folder), data.split(split).weights)


def test_all_rows_are_listed_once_in_the_order_of_the_files(folder):
    data = Prepared.open(folder / "data")
    table = pa.concat_tables(RowIndex.open(data).tables())
    assert numbers(table, folder) == [*range(1, 212), *range(1001, 1108)]
    counts = [table["split"].to_pylist().count(split) for split in SPLITS]
    assert counts == sizes(data)


def test_it_takes_a_byte_a_row(folder):
    assert (folder / "data" / INDEX).stat().st_size == 128 + sum(ROWS.values())


def test_a_file_of_the_data_set_is_known_until_it_changes(folder, tmp_path):
    index = RowIndex.open(Prepared.open(folder / "data"))
    of_file = index.of_file(folder / "b.csv")
    np.testing.assert_array_equal(of_file, index.splits[211:])
    write_csv(tmp_path / "b.csv", raw(107))
    assert index.of_file(tmp_path / "b.csv") is None
    before = (folder / "b.csv").stat()
    os.utime(folder / "b.csv", ns=(0, 0))
    assert index.of_file(folder / "b.csv") is None
    os.utime(folder / "b.csv", ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_of_unknown_origin_is_not_known(tmp_path):
    index = RowIndex.open(prepare(source(), tmp_path / "prepared"))
    write_csv(tmp_path / "raw.csv")
    assert index.of_file(tmp_path / "raw.csv") is None
    assert index.origins == (("raw", 1, 397),)


def test_a_data_set_of_before_says_so(tmp_path, capsys):
    made = prepare(source(), tmp_path / "prepared")
    rest = {k: v for k, v in made.checksums.items() if k != INDEX}
    with_facts(made.directory, origins=[], checksums=rest)
    (made.directory / INDEX).unlink()
    old = Prepared.open(made.directory)
    assert len(old.split("train")) == old.facts["splits"]["train"]["rows"]
    with pytest.raises(ValueError, match="before data sets kept which rows"):
        RowIndex.open(old)
    assert call("rows", tmp_path / "prepared") == 2
    assert "prepare it again" in capsys.readouterr().err


def test_the_command_prints_or_writes_them(folder, tmp_path, capfdbinary):
    assert call("rows", folder / "data", "--split", "test") == 0
    printed = pyarrow.csv.read_csv(pa.BufferReader(capfdbinary.readouterr().out))
    for name in ("rows.csv", "rows.parquet"):
        out = tmp_path / name
        assert call("rows", folder / "data", "--split", "test", "--out", out) == 0
    assert pq.read_table(tmp_path / "rows.parquet").equals(printed)
    assert pyarrow.csv.read_csv(tmp_path / "rows.csv").equals(printed)
    assert call("rows", folder / "data", "--out", out) == 2
    assert b"--overwrite" in capfdbinary.readouterr().err
    assert call("rows", folder / "data", "--out", out, "--overwrite") == 0
    assert pq.read_metadata(out).num_rows == sum(ROWS.values())
    asked = ("--out", folder / "a.csv", "--overwrite")
    assert call("rows", folder / "data", *asked) == 2
    assert b"is the file to read" in capfdbinary.readouterr().err
    assert call("rows", tmp_path) == 2
    assert b"is not a prepared data set" in capfdbinary.readouterr().err


def test_keys_are_shown_while_the_files_are_there(tmp_path, capfdbinary):
    path = tmp_path / "log.csv"
    write_csv(path, raw().append_column("order id", [[f"no {k}" for k in range(397)]]))
    schema = dataclasses.replace(SCHEMA, keys=("order id", "item"))
    prepare(source_of([path], schema), tmp_path / "data")
    asked = ("rows", tmp_path / "data", "--split", "test")
    assert call(*asked) == 0
    printed = pyarrow.csv.read_csv(pa.BufferReader(capfdbinary.readouterr().out))
    assert printed.column_names == ["file", "row", "split", "order id", "item"]
    places = [k - 1 for k in printed["row"].to_pylist()]
    assert printed["order id"].to_pylist() == [f"no {k}" for k in places]
    assert printed["item"].to_pylist() == raw()["item"].take(places).to_pylist()
    path.write_text(path.read_text() + "\n")
    assert call(*asked) == 0
    out, err = capfdbinary.readouterr()
    again = pyarrow.csv.read_csv(pa.BufferReader(out))
    assert again.equals(printed.select(["file", "row", "split"]))
    assert b"log.csv is gone or has changed: keys are not shown" in err
    write_csv(path, raw())
    with pytest.raises(ValueError, match="has no column 'order id'"):
        prepare(source_of([path], schema), tmp_path / "other")
    with pytest.raises(ValueError, match="these twice: \\['item'\\]"):
        dataclasses.replace(SCHEMA, keys=("item", "item"))
