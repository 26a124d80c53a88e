"""A data set without a test split trains, and what would read test says that."""

import pathlib

import pytest
from lib.tables import SCHEMA_TEXT, write_csv
from lib.training import call

import ple_jax

EXPERIMENT = """
[data]
kind = "table"
schema = "schema.toml"
files = ["rows.csv"]
[model]
kind = "shared_bottom"
expert_dims = [5]
[train]
epochs = 1
batch_size = 64
devices = 1
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    write_csv(tmp_path / "rows.csv")
    without = SCHEMA_TEXT.replace("[0.6, 0.2, 0.2]", "[0.8, 0.2, 0]")
    pathlib.Path("schema.toml").write_text(without)
    pathlib.Path("experiment.toml").write_text(EXPERIMENT)


def test_what_reads_test_says_that_there_is_none(here, capsys):
    knobs = ["--run-dir", "seeds", "--train.seeds", "2"]
    assert call("train", "experiment.toml", *knobs) == 0
    said = capsys.readouterr()
    assert "no test split: the schema wants none" in said.err
    assert "test" not in said.out
    assert call("verify", "seeds") == 0
    seeds = ple_jax.open("seeds")
    assert [*seeds.result["points"][""]] == ["validation"]
    assert "seed=1" in (shown := repr(seeds.table()))
    assert "test" not in shown

    trial = seeds.trials["seed=1"]
    assert "test" not in trial.result
    assert "test" not in repr(trial.table())
    assert call("evaluate", trial.directory) == 2
    assert "has no test split" in (told := capsys.readouterr().err)
    assert "It has train and validation." in told
    assert call("evaluate", trial.directory, "--split", "validation") == 0
