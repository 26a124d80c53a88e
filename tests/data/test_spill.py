"""Values that memory does not hold: counted, sorted and found on disk, the same ids."""

import collections
import dataclasses
import errno
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lib.engines import Pickles
from lib.means import MEANS, log
from lib.tables import SCHEMA, raw

from ple_jax.data import (
    cells,
    counts,
    external_sort,
    file_ranges,
    label_sums,
    spill,
    target_mean,
    text_index,
)
from ple_jax.data.counts import ValueCounts
from ple_jax.data.prepare import merge_shards, prepare, prepare_shard
from ple_jax.data.spill import Spill
from ple_jax.data.text_index import TextIndex
from ple_jax.datasets.table import source_of
from ple_jax.schema import Field


@pytest.fixture(autouse=True)
def few_parts(monkeypatch):
    monkeypatch.setattr(spill, "BITS", 2)
    for module in (spill, counts, text_index):
        monkeypatch.setattr(module, "PARTS", 4)


@pytest.fixture
def small_pieces(monkeypatch):
    for module in (spill, external_sort, text_index):
        monkeypatch.setattr(module, "PIECE", 7)


def drawn(size, seed):
    """Texts of all lengths, some of them often."""
    rng = random.Random(seed)
    return ["é" * rng.randint(0, 9) + str(rng.randint(1, 61) ** 2) for _ in range(size)]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("most", [1, 300, 5_000])
def test_counts_on_disk_are_those_in_memory(most, tmp_path):
    texts = drawn(307, most)
    found = [ValueCounts(Spill(tmp_path, most)) for _ in range(2)]
    for i in range(0, len(texts), 31):
        values, codes = np.unique(texts[i : i + 31], return_inverse=True)
        found[i % 62 // 31].add(codes, pa.array([*values, None]))
    found[0].settle()
    whole = found[0].merge(found[1])
    assert whole._runs
    of = whole.vocabulary().to_pydict()
    wanted = sorted(collections.Counter(texts).items(), key=lambda c: (-c[1], c[0]))
    assert of["value"] == [value for value, _ in wanted]
    assert of["count"] == [count for _, count in wanted]
    assert of["id"] == list(range(1, len(wanted) + 1))
    assert whole.vocabulary(min_count=2)["count"].to_pylist() == [
        count for _, count in wanted if count > 1
    ]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("cut", [0, 1, 50])
def test_an_index_on_disk_is_that_in_memory(cut, tmp_path):
    texts = pa.chunked_array([drawn(cut, 0), drawn(211, 1)], pa.string())
    wanted = pa.array([*drawn(300, 2), None, ""], pa.string())
    found = TextIndex(texts[1:], Spill(tmp_path, 0)).find(wanted)
    assert found.tolist() == TextIndex(texts[1:]).find(wanted).tolist()
    assert found.min() < 0 < found.max()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A source of files of a few rows each, in row groups of 37."""
    monkeypatch.setattr(file_ranges, "GRAIN", 100)
    for seed in range(2):
        table = raw(211, seed)
        pq.write_table(table, tmp_path / f"{seed}.parquet", row_group_size=37)
    fields = (
        *SCHEMA.fields[:3],
        Field("user", encodings=("rare", "count"), min_count=2),
    )
    schema = dataclasses.replace(SCHEMA, fields=(*fields, *SCHEMA.fields[3:]))
    return source_of(sorted(tmp_path.glob("*.parquet")), schema)


@pytest.mark.parametrize("workers", [0, 3])
def test_data_sets_are_the_same_bytes_whatever_memory_holds(
    workers, made, tmp_path, monkeypatch
):
    usual = prepare(made, tmp_path / "usual")
    runs, write = [], Spill.write
    monkeypatch.setattr(Spill, "write", lambda s, p: runs.append(1) or write(s, p))
    engine = Pickles(workers) if workers else None
    spilled = prepare(made, tmp_path / "spilled", engine=engine, memory=1000)
    assert runs
    assert spilled.facts == usual.facts
    of = lambda data: sorted(p.name for p in data.directory.rglob("*"))
    assert of(spilled) == of(usual)
    some = slice(0, 50)
    for name, array in spilled.split("test").arrays().items():
        assert array[some].tolist() == usual.split("test").arrays()[name][some].tolist()


@pytest.mark.parametrize("workers", [0, 3])
def test_target_means_are_the_same_bytes_whatever_memory_holds(
    workers, tmp_path, monkeypatch
):
    """Of frequent values and of the rest together, by domain and fold."""
    monkeypatch.setattr(file_ranges, "GRAIN", 100)
    for module in (cells, target_mean):
        monkeypatch.setattr(module, "PIECE", 17)
    pq.write_table(log(), tmp_path / "0.parquet", row_group_size=37)
    item = Field("item", encodings=("target_mean", "rare"), min_count=26)
    fields = (item, *MEANS.fields[1:])
    schema = dataclasses.replace(MEANS, fields=fields, ignored=("*",))
    made = source_of([tmp_path / "0.parquet"], schema)
    usual = prepare(made, tmp_path / "usual")
    ranges, cut = [], cells.in_ranges

    def counted(*arguments):
        ranges.append([*cut(*arguments)])
        return ranges[-1]

    monkeypatch.setattr(label_sums, "in_ranges", counted)
    engine = Pickles(workers) if workers else None
    spilled = prepare(made, tmp_path / "spilled", engine=engine, memory=1000)
    assert len(ranges) == 2
    assert min(map(len, ranges)) > 1
    assert spilled.facts == usual.facts


def test_a_shard_that_dies_while_it_spills_is_run_again(made, tmp_path, monkeypatch):
    usual, out = prepare(made, tmp_path / "usual"), tmp_path / "new" / "prepared"
    write, written = Spill.write, []

    def dies(place, parts):
        written.append(write(place, parts))
        if len(written) == 3:
            raise KeyboardInterrupt
        return written[-1]

    monkeypatch.setattr(Spill, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare_shard(made, out, 0, 1, memory=1000)
    prepare_shard(made, out, 0, 1, memory=1000)
    merged = merge_shards(made, out, memory=1000)
    assert merged.facts == usual.facts
    assert [path.name for path in out.parent.iterdir()] == ["prepared"]


def test_an_interrupted_call_leaves_nothing(made, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Spill, "write", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(made, tmp_path / "new" / "prepared", memory=1000)
    assert not list((tmp_path / "new").iterdir())
