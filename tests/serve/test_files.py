"""Scoring a file with a run of one id column: a row out for each row in."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from lib.tables import source
from lib.training import call, new_run

from ple_jax.data.prepare import prepare
from ple_jax.metrics.exact import check_logits
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
    schema = Schema((Field("item"),), (Task("click"),), unknown_warning=0.2)
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
    assert "is the file to read" in capsys.readouterr().err
    assert call("predict", run, rows, "--out", old) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (rows.read_text(), old.read_text()) == ("item\n12\n", "old")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("block", [5, 7, 1 << 24])
def test_a_blank_line_of_one_column_is_a_row(scores, monkeypatch, end, block):
    monkeypatch.setattr("ple_jax.data.csv_file.CSV_BLOCK", block)
    known, missing, other = scores(pa.table({"item": ["12", None, "7"]}))
    lines = [b"item", b"12", b"", b"7", b"", b""]
    got = scores(end.join(lines) + end)
    assert got == [known, missing, other, missing, missing]
    assert len({known, missing, other}) == 3


def test_a_stray_quote_never_swallows_rows(run, tmp_path, capsys):
    (rows := tmp_path / "rows.csv").write_text('item\n12\n"7\n5"\n12\n')
    out = tmp_path / "scores.csv"
    assert call("predict", run, rows, "--out", out) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "row 2, column 'item': expected no line break, got '7\\n5'" in said
    assert not out.exists()


def test_a_path_that_exists_is_no_pattern(run, scores, tmp_path):
    expected = scores(b"item\n12\n7\n")
    (tmp_path / "q1.csv").write_text("item\n5\n")
    (tmp_path / "q[1].csv").write_text("item\n12\n7\n")
    out = tmp_path / "scores_of_q.parquet"
    assert call("predict", run, tmp_path / "q[1].csv", "--out", out) == 0
    assert pq.read_table(out)["click"].to_pylist() == expected


FORMS = {
    "float64": pa.array([12.0, 7.0, None, 2.0**53]),
    "NaN": pa.array([12.0, 7.0, float("nan"), 2.0**53]),
    "float32": pa.array([12.0, 7.0, None, 2.0**53], pa.float32()),
    "decimal": pa.array([12, 7, None, 2**53]).cast(pa.decimal128(38, 2)),
    "text of floats": ["12.0", "7.00", "", "9007199254740992."],
    "text with signs": ["+12", "7", None, "+9007199254740992.0"],
    "dictionary": pa.array([12.0, 7.0, None, 2.0**53]).dictionary_encode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_ids_in_another_type_are_found(scores, form):
    expected = scores(pa.table({"item": [12, 7, None, 2**53]}))
    assert scores(pa.table({"item": form})) == expected
    assert len(set(expected)) == 4


def test_a_file_without_a_known_id_is_an_error_unless_allowed(run, tmp_path, capsys):
    (rows := tmp_path / "rows.csv").write_text("item\n012\nx7\n\n")
    out = tmp_path / "scores.parquet"
    assert call("predict", run, rows, "--out", out) == 2
    said = capsys.readouterr().err
    assert "All 2 values of field 'item' are unknown" in said
    assert "like '012', those of train like '" in said
    assert not out.exists()
    assert call("predict", run, rows, "--out", out, "--allow-unknown") == 0
    assert "warning: 100.00% of the values of field 'item'" in capsys.readouterr().err


def test_the_share_of_unknown_ids_is_said(scores, capsys):
    scores(pa.table({"item": [12] * 3 + [99, None]}))
    assert "warning: 25.00% of the values of field 'item'" in capsys.readouterr().err
    scores(pa.table({"item": [12] * 4 + [99]}))  # not more than the schema allows
    said = capsys.readouterr().err
    assert "20.00% of the values of field 'item' are unknown, such as '99'" in said
    assert "warning" not in said
    scores(pa.table({"item": [12, None]}))
    assert "are unknown" not in capsys.readouterr().err


def test_a_score_that_is_not_finite_is_never_written():
    with pytest.raises(ValueError, match=r"2 of 3 rows scored NaN .* row 13: .*nan"):
        check_logits(np.array([[0.0, 1.0], [np.nan, 0.0], [np.inf, 0.0]]), 12)
    check_logits(np.array([[0.0, 1.0]]), 1)
