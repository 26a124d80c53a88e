"""Jobs that share a folder: the same bytes, and clear words where shards lack."""

import dataclasses
import os
import pickle

import pyarrow.parquet as pq
import pytest
from lib.tables import SCHEMA, SCHEMA_TEXT, raw, write_csv
from lib.training import call

from ple_jax.data import file_ranges, job_array
from ple_jax.data.job_array import WaitingError
from ple_jax.data.prepare import merge_shards, prepare, prepare_shard
from ple_jax.datasets.table import source_of
from ple_jax.splits import Split


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(file_ranges, "GRAIN", 40)
    pq.write_table(raw(211), tmp_path / "a.parquet", row_group_size=37)
    write_csv(tmp_path / "b.csv", raw(83, seed=1))
    return [tmp_path / "a.parquet", tmp_path / "b.csv"]


def do_all(made, folder, jobs=3):
    """Runs all jobs until one says that all is done; how often that was."""
    for times in range(1, 9):
        try:
            for mine in range(jobs):
                prepare_shard(made, folder, mine, jobs)
            return times
        except WaitingError:
            for mine in range(jobs):
                try_one(made, folder, mine, jobs)
    raise AssertionError("They never end.")


def try_one(made, folder, mine, jobs):
    try:
        prepare_shard(made, folder, mine, jobs)
    except WaitingError as waiting:
        return waiting
    return None


SPLITS = [Split(fractions=(0.5, 0.3, 0.2)), Split("last", "weight", group="user")]


@pytest.mark.parametrize("split", SPLITS, ids=["random", "last"])
def test_jobs_give_the_same_bytes_and_leave_no_folder(split, files, tmp_path):
    made = source_of(files, dataclasses.replace(SCHEMA, split=split))
    alone = prepare(made, tmp_path / "alone")
    do_all(made, folder := tmp_path / "out" / "prepared")
    assert not folder.exists()
    other = merge_shards(made, folder)
    assert other.fingerprint == alone.fingerprint
    assert other.facts == alone.facts
    assert [path.name for path in folder.parent.iterdir()] == ["prepared"]


def test_what_lacks_is_named_and_a_merge_waits_for_it(files, tmp_path):
    made = source_of(files[:1], SCHEMA)
    waiting = try_one(made, tmp_path / "out", 1, 3)
    assert (waiting.number, waiting.jobs) == (1, [0, 2])
    with pytest.raises(WaitingError, match="Pass 1 lacks the shards 0, 2 of 3"):
        merge_shards(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert try_one(made, tmp_path / "out", 0, 3).jobs == [2]
    assert try_one(made, tmp_path / "out", 2, 3).number == 2
    lost = next((tmp_path / "out.shards").glob("pass-1-0-*"))
    lost.unlink()  # is done once more
    assert try_one(made, tmp_path / "out", 2, 3).number == 1
    do_all(made, tmp_path / "out")
    alone = prepare(made, tmp_path / "alone")
    assert merge_shards(made, tmp_path / "out").fingerprint == alone.fingerprint


def test_shards_of_another_array_are_refused(files, tmp_path):
    made = source_of(files, SCHEMA)
    with pytest.raises(ValueError, match=r"There is no .*plan.json: prepare the shard"):
        merge_shards(made, tmp_path / "out")
    try_one(made, tmp_path / "out", 0, 3)
    with pytest.raises(ValueError, match="has shards of 3 jobs, not of 4"):
        prepare_shard(made, tmp_path / "out", 0, 4)
    fewer = dataclasses.replace(SCHEMA, weight=None, ignored=("weight",))
    with pytest.raises(ValueError, match="has shards of other columns"):
        merge_shards(source_of(files, fewer), tmp_path / "out")
    os.utime(files[0], (0, 0))
    with pytest.raises(ValueError, match="has shards of other files"):
        prepare_shard(source_of(files, SCHEMA), tmp_path / "out", 1, 3)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made by a pickle",)


@pytest.mark.parametrize("content", [b"", b"\x80\x05", pickle.dumps(Evil())])
def test_a_result_is_plain_or_refused(content, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = source_of(files[:1], SCHEMA)
    try_one(made, tmp_path / "out", 0, 1)
    path = next((tmp_path / "out.shards").glob("pass-1-*"))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path.name} is damaged .*run its shard ag"):
        merge_shards(made, tmp_path / "out")
    assert not (tmp_path / "made by a pickle").exists()


def test_the_command_runs_shards_and_merges_them(files, tmp_path, capsys):
    (tmp_path / "columns.toml").write_text(SCHEMA_TEXT)
    names = ", ".join(f'"{path.name}"' for path in files)
    data = f'[data]\nkind = "table"\nschema = "columns.toml"\nfiles = [{names}]\n'
    (experiment := tmp_path / "shop.toml").write_text(data)
    out = ["--out", tmp_path / "prepared"]
    for _ in range(3):  # rows of text, counts, arrays
        for shard in ("0/2", "1/2"):
            assert call("prepare", experiment, *out, "--shard", shard) == 0
    assert "All shards are done" in capsys.readouterr().err
    assert call("prepare", experiment, *out, "--merge") == 0
    assert call("prepare", experiment, "--out", tmp_path / "alone") == 0
    facts = [tmp_path / n / "dataset.json" for n in ("prepared", "alone")]
    assert len({path.read_text() for path in facts}) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--shard", "2/2"], "expected I/N with I from 0 to N - 1"),
        (["--shard", "x"], "expected I/N with I from 0 to N - 1"),
        (["--shard", "0/2"], "need --out DIR"),
        (["--merge", "--out", "x", "--workers", "2"], "exclude each other"),
        (["--workers", "0"], "--workers must be at least 1, got 0"),
        (["--engine", "sparc"], "Did you mean 'spark'?"),
    ],
)
def test_odd_requests_are_refused(options, told, capsys, tmp_path):
    (tmp_path / "a.toml").write_text('[data]\nkind = "synthetic"\n')
    assert call("prepare", tmp_path / "a.toml", *options) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_the_folder_of_an_array_lies_beside_its_data_set(tmp_path):
    assert job_array.folder_of(tmp_path / "x") == tmp_path / "x.shards"
