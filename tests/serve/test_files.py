"""Scoring a file with a run of one id column: a row out for each row in."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from lib.tables import source
from lib.training import call, new_run

from ple_jax.data.prepare import prepare
from ple_jax.schema import Field, Schema, Task
from ple_jax.train import loop

IDS = [12, 7, 5, 2**53, 2**31]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on one column of integer ids, whose task depends on them."""
    folder = tmp_path_factory.mktemp("one_column")
    rng = np.random.default_rng(0)
    item = rng.integers(0, len(IDS), 701)
    click = (rng.random(701) < item / len(IDS)).astype(int)
    rows = pa.table({"item": np.array(IDS)[item], "click": click})
    schema = Schema((Field("item"),), (Task("click"),))
    data = prepare(source(rows, schema), folder / "prepared")
    chosen = new_run(data, folder / "run", train={"epochs": 1})
    loop.fit(chosen)
    return chosen.directory


@pytest.fixture
def scores(run, tmp_path):
    """bytes of a CSV file, or a table -> its scores."""

    def scored(rows):
        if isinstance(rows, pa.Table):
            pq.write_table(rows, file := tmp_path / "rows.parquet")
        else:
            (file := tmp_path / "rows.csv").write_bytes(rows)
        out = tmp_path / "scores.parquet"
        assert call("predict", run, file, "--out", out, "--overwrite") == 0
        return pq.read_table(out)["click"].to_pylist()

    return scored


def test_the_ending_chooses_the_format(run, scores, tmp_path):
    expected = scores(b"item\n12\n7\n")
    out = tmp_path / "scores.csv"
    assert call("predict", run, tmp_path / "rows.csv", "--out", out) == 0
    written = pyarrow.csv.read_csv(out)
    assert written.column_names == ["click"]
    np.testing.assert_array_equal(np.float32(written["click"]), expected)


def test_a_file_is_not_scored_over_itself_or_another(run, capsys, tmp_path):
    (rows := tmp_path / "rows.csv").write_text("item\n12\n")
    (old := tmp_path / "old.csv").write_text("old")
    assert call("predict", run, rows, "--out", rows, "--overwrite") == 2
    assert "is the file to score" in capsys.readouterr().err
    assert call("predict", run, rows, "--out", old) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (rows.read_text(), old.read_text()) == ("item\n12\n", "old")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("block", [5, 7, 1 << 24])
def test_a_blank_line_of_one_column_is_a_row(scores, monkeypatch, end, block):
    monkeypatch.setattr("ple_jax.data.read.CSV_BLOCK", block)
    known, missing, other = scores(pa.table({"item": ["12", None, "7"]}))
    lines = [b"item", b"12", b"", b"7", b"", b""]
    got = scores(end.join(lines) + end)
    assert got == [known, missing, other, missing, missing]
    assert len({known, missing, other}) == 3
