"""Labelled rows of files and frames are measured as those of a split are."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lib.tables import raw, write_csv
from lib.training import call

import ple_jax
from ple_jax.data.row_index import RowIndex
from ple_jax.runs.directory import open_run


@pytest.fixture
def tested(folder):
    """The raw rows of the test split."""
    index = RowIndex.open(open_run(folder / "run").data)
    return raw().filter(pa.array(index.splits == 2))


def evaluate(capsys, *arguments):
    assert call("evaluate", *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_the_rows_of_a_split_measure_as_the_split(folder, tested, tmp_path, capsys):
    """From a frame and from files, with other columns beside and in several pieces."""
    wanted = evaluate(capsys, folder / "run")
    assert wanted.pop("split") == "test"
    assert wanted["examples"] == len(tested) > 50
    run = ple_jax.open(folder / "run")
    other = tested.append_column("other", [np.arange(len(tested))])
    assert json.loads(json.dumps(run.evaluate(other))) == wanted
    write_csv(tmp_path / "a.csv", tested.slice(0, 31))
    pq.write_table(tested.slice(31), tmp_path / "b.parquet", row_group_size=7)
    files = [str(tmp_path / "a.csv"), str(tmp_path / "b.parquet")]
    assert evaluate(capsys, folder / "run", *files) == {"files": files, **wanted}
    assert call("evaluate", folder / "run", *files) == 0
    shown = capsys.readouterr().out
    assert "b.parquet" in shown
    assert "s0" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(["buy"]), "no column 'buy'"),
        (lambda rows: rows.drop(["user"]), "no column 'user'"),
        (lambda rows: rows.slice(0, 0), "the data has no rows"),
        (
            lambda rows: rows.set_column(1, "item", [["x"] * len(rows)]),
            "'item' are unknown",
        ),
    ],
)
def test_what_cannot_be_measured(folder, change, message):
    with pytest.raises(ValueError, match=message):
        ple_jax.open(folder / "run").evaluate(change(raw()))


def test_files_and_a_split_are_not_measured_at_once(folder, capsys):
    asked = (folder / "rows.csv", "--split", "train")
    assert call("evaluate", folder / "run", *asked) == 2
    assert "not both" in capsys.readouterr().err
