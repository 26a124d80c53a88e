"""Tables that Spark reads, beside the files that it read them from."""

import pyarrow.parquet as pq
import pytest
from lib.engines import installed
from lib.tables import SCHEMA, SCHEMA_TEXT, raw

from ple_jax import engines
from ple_jax.data.prepare import prepare
from ple_jax.datasets import spark, table
from ple_jax.engines import spark as engine

COLUMNS = raw(1).column_names


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """An engine, a table of its catalog named clicks, and the table's folder."""
    folder = tmp_path_factory.mktemp("lake")
    pq.write_table(raw(211), folder / "rows.parquet", row_group_size=37)
    with (
        engines.started(installed("spark"), 2) as started,
        engine.session() as session,
    ):
        rows = session.read.parquet(str(folder / "rows.parquet"))
        to = rows.write.option("path", str(folder / "clicks"))
        to.partitionBy("shop").saveAsTable("clicks")
        yield started, folder


@pytest.fixture
def schema(tmp_path):
    (tmp_path / "schema.toml").write_text(SCHEMA_TEXT)
    return str(tmp_path / "schema.toml")


def rows_in(paths):
    rows = pq.read_table(paths).select(COLUMNS).to_pylist()
    return sorted(tuple(map(str, row.values())) for row in rows)


def test_a_table_of_the_catalog_is_prepared(lake, schema, tmp_path):
    engine, snapshot = lake[0], tmp_path / "snapshot"
    made = spark.build(schema, "clicks", str(snapshot))
    assert rows_in(snapshot) == rows_in(lake[1] / "rows.parquet")
    prepared = prepare(made, tmp_path / "prepared", engine=engine)
    local = prepare(table.source_of([snapshot], SCHEMA), tmp_path / "local")
    assert prepared.fingerprint == local.fingerprint
    # What is there is read, without Spark.
    assert spark.build(schema, "gone", str(snapshot)).identity == made.identity


def test_a_folder_of_hive_partitions_needs_no_snapshot(lake, schema, tmp_path):
    engine, folder = lake[0], lake[1] / "clicks"
    assert {path.name for path in folder.glob("shop=*")} == {
        f"shop=s{k}" for k in range(3)
    }
    made = table.source_of([folder], SCHEMA)
    prepared = prepare(made, tmp_path / "prepared", engine=engine)
    assert prepared.fingerprint == prepare(made, tmp_path / "local").fingerprint
    snapshot = tmp_path / "snapshot"
    spark.build(schema, str(folder), str(snapshot), "parquet")
    assert rows_in(snapshot) == rows_in(lake[1] / "rows.parquet")
    assert sum(len(prepared.split(s)) for s in ("train", "validation", "test")) == 211


@pytest.mark.parametrize(
    ("name", "form", "message"),
    [
        ("gone", "table", "Spark cannot read 'gone' as table: .*gone"),
        ("gone", "delta", "as delta: .*Spark reads delta by a jar"),
        ("gone", "iceberg", "as iceberg: .*Spark reads iceberg by a jar"),
        ("gone", "orcus", "as orcus: .*orcus"),
    ],
)
def test_what_spark_cannot_read_is_one_sentence(
    name, form, message, lake, schema, tmp_path
):
    snapshot = tmp_path / "snapshot"
    with pytest.raises(ValueError, match=message) as caught:
        spark.build(schema, name, str(snapshot), form)
    assert "\n" not in str(caught.value)
    assert not snapshot.exists()


def test_columns_that_the_schema_lacks_are_named(lake, schema, tmp_path):
    (tmp_path / "schema.toml").write_text(SCHEMA_TEXT.replace("price", "prize"))
    with pytest.raises(ValueError, match="clicks has no column 'prize'"):
        spark.build(schema, "clicks", str(tmp_path / "snapshot"))
    assert not (tmp_path / "snapshot").exists()


def test_without_java_one_sentence_says_so(monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/somewhere")
    engine.check_java()
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ValueError, match="Spark needs a Java runtime"):
        engine.check_java()
