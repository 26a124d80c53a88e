"""Preparation by engines: the same bytes as by one process, however rows are cut."""

import dataclasses
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lib.engines import Pickles
from lib.tables import SCHEMA, raw, source, write_csv

from ple_jax.data import file_ranges, passes, spread
from ple_jax.data.prepare import prepare
from ple_jax.datasets.table import source_of
from ple_jax.engines import local
from ple_jax.schema import Field
from ple_jax.splits import Split

ROWS = {"a.parquet": 211, "b.csv": 107, "c.parquet": 83}
SPLITS = {
    "random": Split(seed=5, fractions=(0.5, 0.3, 0.2)),
    "by user": Split(group="user", fractions=(0.5, 0.3, 0.2)),
    "strata": Split(stratify=("click", "shop"), fractions=(0.5, 0.3, 0.2)),
    "time": Split("time", "weight", fractions=(0.5, 0.3, 0.2)),
    "last": Split("last", "weight", group="user"),
    "last by row": Split("last", group="user"),
}


def with_split(split):
    """Every kind of field and task, target means too."""
    shop = Field("shop", encodings=("id", "count", "target_mean"))
    fields = (shop, *SCHEMA.fields[1:])
    return dataclasses.replace(SCHEMA, fields=fields, split=split)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of a few rows each; those of Parquet have row groups of 37."""
    folder = tmp_path_factory.mktemp("files")
    for seed, (name, rows) in enumerate(ROWS.items()):
        table = raw(rows, seed)
        if name.endswith(".csv"):
            write_csv(folder / name, table)
        else:
            pq.write_table(table, folder / name, row_group_size=37)
    return [folder / name for name in ROWS]


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch):
    monkeypatch.setattr(file_ranges, "GRAIN", 40)


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_an_engine_gives_the_same_bytes(split, files, tmp_path):
    made = source_of(files, with_split(split))
    alone = prepare(made, tmp_path / "alone")
    for workers in (1, 2, 5):
        engine = Pickles(workers, seed=workers)
        other = prepare(made, tmp_path / f"by {workers}", engine=engine)
        assert other.fingerprint == alone.fingerprint
        assert other.facts == alone.facts
    assert sorted(p.name for p in other.directory.iterdir()) == sorted(
        p.name for p in alone.directory.iterdir()
    )


def test_processes_give_the_same_bytes_and_do_not_import_jax(files, tmp_path):
    made = source_of(files, with_split(SPLITS["strata"]))
    alone, told = prepare(made, tmp_path / "alone"), []
    with local.build(2) as pool:
        other = prepare(made, tmp_path / "other", told.append, pool)
        modules = set.union(*pool.map(imported, range(4)))
    assert other.fingerprint == alone.fingerprint
    assert sum(told) == 2 * sum(ROWS.values())
    assert "ple_jax.data.passes" in modules
    assert not modules & {"jax", "flax", "optax", "orbax"}


def imported(_):
    return set(sys.modules)


def test_ranges_cover_all_rows_once_and_know_their_numbers(files):
    readers = file_ranges.file_ranges(files, SCHEMA)
    assert [r.groups for r in readers] == [(0, 1), (2, 3), (4, 5), None, (0, 1), (2,)]
    assert [r.rows for r in readers] == [74, 74, 63, None, 74, 9]
    chunks = [chunk for read in readers for chunk in read()]
    found = [(c.origin, c.first + i) for c in chunks for i in range(len(c.table))]
    wanted = [(str(f), i) for f in files for i in range(ROWS[f.name])]
    assert found == wanted


@pytest.mark.parametrize("most", [1, 2, 3, 7, 100])
def test_shards_are_whole_ordered_and_about_even(most, files):
    made = source_of(files, SCHEMA)
    shards = spread.shards_of(made, most, Pickles())
    counted = [sum(len(c.table) for c in shard.chunks()) for shard in shards]
    assert len(shards) <= most
    assert [s.first for s in shards] == [0, *np.cumsum(counted)[:-1]]
    assert sum(counted) == sum(ROWS.values())
    assert max(counted) <= sum(ROWS.values()) / most + 107  # the longest range


def test_a_fault_in_a_worker_is_the_same_one_sentence(files, tmp_path):
    table = raw(83).set_column(5, "click", pa.array(["1"] * 80 + ["x"] * 3))
    pq.write_table(table, bad := tmp_path / "bad.parquet", row_group_size=37)
    made = source_of([*files, bad], SCHEMA)
    with pytest.raises(ValueError, match="row 81, column 'click'") as alone:
        prepare(made, tmp_path / "alone")
    with pytest.raises(ValueError, match="row 81, column 'click'") as other:
        prepare(made, tmp_path / "other", engine=Pickles())
    assert str(other.value) == str(alone.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.parquet"]


def test_a_file_that_changes_between_passes_is_named(files, tmp_path, monkeypatch):
    pq.write_table(raw(83), path := tmp_path / "log.parquet", row_group_size=37)
    made = source_of([*files, path], SCHEMA)

    def fit(tally):
        pq.write_table(raw(89), path, row_group_size=37)
        return passes.fit(tally)

    monkeypatch.setattr("ple_jax.data.prepare.fit", fit)
    with pytest.raises(ValueError, match=r"log.parquet changed while it was read"):
        prepare(made, tmp_path / "other", engine=Pickles())


def test_a_shard_that_is_tried_again_writes_the_same(files, tmp_path, monkeypatch):
    """As engines do where a process dies, or is slow."""

    class Twice(Pickles):
        def map(self, function, items):
            super().map(function, items)
            return super().map(function, items)

    made = source_of(files, SCHEMA)
    alone = prepare(made, tmp_path / "alone")
    assert (
        prepare(made, tmp_path / "t", engine=Twice()).fingerprint == alone.fingerprint
    )


def test_rows_that_one_process_reads_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="kind 'test' are read by one process"):
        prepare(source(), tmp_path / "prepared", engine=Pickles())


def test_few_ranges_for_many_workers_are_said(files, tmp_path, capsys):
    prepare(source_of(files[1:2], SCHEMA), tmp_path / "one", engine=Pickles(3))
    assert "make 1 shards for 3 workers" in capsys.readouterr().err
