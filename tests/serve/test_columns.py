"""What stands beside the scores: columns of the input, domain, split, joint chances."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from lib.tables import raw, write_csv
from lib.training import call

import ple_jax
from ple_jax.data.store import Prepared
from ple_jax.runs.directory import open_run
from ple_jax.schema import Task
from ple_jax.serve.columns import chain_of
from ple_jax.serve.measure import labelled


@pytest.fixture
def predicted(folder, tmp_path):
    """A file and options -> its table of scores."""

    def predict(name, *options):
        out = tmp_path / "scores.parquet"
        asked = ("--out", out, "--overwrite", *options)
        assert call("predict", folder / "run", folder / name, *asked) == 0
        return pq.read_table(out)

    return predict


def test_columns_are_copied_as_they_are(folder, predicted):
    kept = predicted("rows.parquet", "--keep", "key", "kind", "list", "price")
    assert kept.column_names[:4] == ["key", "kind", "list", "price"]
    rows = pq.read_table(folder / "rows.parquet")
    for name in kept.column_names[:4]:
        assert kept[name].to_pylist() == rows[name].to_pylist()
    assert kept.schema.field("key").type == pa.int64()
    assert kept.schema.field("kind").type == pa.string()
    alone = predicted("rows.parquet")
    assert alone.column_names == ["click", "buy", "stars"]
    assert kept.select(alone.column_names).equals(alone)


def test_keys_of_the_schema_come_first_where_the_file_has_them(
    folder, predicted, monkeypatch
):
    alone = predicted("rows.parquet")
    schema = open_run(folder / "run").data.schema
    keyed = dataclasses.replace(schema, keys=("key", "item"))
    monkeypatch.setattr(Prepared, "schema", property(lambda data: keyed))
    kept = predicted("rows.parquet", "--keep", "price", "key")
    assert kept.column_names == ["key", "item", "price", *alone.column_names]
    assert kept["key"].to_pylist() == [k + 2**40 for k in range(397)]
    assert predicted("rows.csv").column_names == ["item", *alone.column_names]
    frame = ple_jax.open(folder / "run").predict(raw())
    assert frame.column_names == ["item", *alone.column_names]
    monkeypatch.undo()
    assert labelled(keyed).raw_columns() == schema.raw_columns()


def test_csv_in_and_out(folder, tmp_path, predicted):
    out = tmp_path / "scores.csv"
    asked = ("--keep", "item", "--domain", "--out", out)
    assert call("predict", folder / "run", folder / "rows.csv", *asked) == 0
    written = pyarrow.csv.read_csv(out)
    assert written.column_names == ["item", "domain", "click", "buy", "stars"]
    assert written["item"].to_pylist() == raw()["item"].to_pylist()
    scores = predicted("rows.csv")
    np.testing.assert_array_equal(np.float32(written["buy"]), scores["buy"])


def test_the_domain_is_the_one_that_scored(folder, predicted):
    shops = raw()["shop"].to_pylist()
    assert predicted("rows.csv", "--domain")["domain"].to_pylist() == shops
    values = pa.array(["new", None, *shops[2:]])
    write_csv(folder / "other.csv", raw().set_column(0, "shop", values))
    found = predicted("other.csv", "--domain", "--allow-unknown")
    assert found["domain"].to_pylist() == ["own", "own", *shops[2:]]
    assert np.isfinite(found["click"]).all()


def test_the_split_is_known_for_files_of_the_data_set(folder, predicted, capsys):
    found = predicted("rows.csv", "--split")["split"].to_pylist()
    assert call("rows", folder / "run") == 0
    listed = [line.split(",")[2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert found == [name.strip('"') for name in listed]
    assert predicted("rows.parquet", "--split")["split"].to_pylist() == [None] * 397
    assert "no split is known" in " ".join(capsys.readouterr().err.split())


def test_joint_probabilities_are_products_along_given(predicted):
    found = predicted("rows.csv", "--joint")
    assert found.column_names == ["click", "buy", "stars", "buy_and_click"]
    click, buy, _, joint = (np.array(c) for c in found.columns)
    np.testing.assert_array_equal(joint, click * buy)


def test_chains_go_to_their_start():
    tasks = [Task("click"), Task("cart", given="click"), Task("buy", given="cart")]
    assert [t.name for t in chain_of(tasks[2], tasks)] == ["buy", "cart", "click"]


def test_frames_have_the_same_columns(folder, predicted):
    run, rows = ple_jax.open(folder / "run"), raw()
    asked = ("--keep", "user", "--domain", "--joint")
    wanted = predicted("rows.csv", *asked)
    found = run.predict(rows, keep=["user"], domain=True, joint=True)
    assert found.equals(wanted)
    assert run.predict(rows.slice(0, 0), keep=["user"]).column_names[0] == "user"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--keep", "usr"), "'usr' is not a known column of"),
        (("--keep", "usr"), "Did you mean 'user'?"),
        (("--keep", "click"), "got these twice: ['click']"),
    ],
)
def test_mistakes_leave_nothing(folder, tmp_path, capsys, options, message):
    out = tmp_path / "scores.csv"
    asked = (folder / "run", folder / "rows.csv", "--out", out, *options)
    assert call("predict", *asked) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


def test_files_of_a_pattern_have_one_type_of_a_kept_column(folder, tmp_path, capsys):
    (several := tmp_path / "several").mkdir()
    rows = raw().append_column("key", [np.arange(397)])
    pq.write_table(rows, several / "a.parquet")
    place = rows.column_names.index("key")
    text = rows.set_column(place, "key", rows["key"].cast(pa.string()))
    pq.write_table(text, several / "b.parquet")
    out = ("--keep", "key", "--out", tmp_path / "scores.csv")
    assert call("predict", folder / "run", several / "*.parquet", *out) == 2
    assert "expected int64, as in the file before it" in capsys.readouterr().err
