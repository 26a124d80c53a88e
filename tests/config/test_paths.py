"""Paths in an experiment count from its folder, or from the working directory."""

import pathlib

import pytest

from ple_jax import config
from ple_jax.config.paths import say_once
from ple_jax.datasets import table
from ple_jax.runs.directory import recorded_tree

EXPERIMENT = """[data]
kind = "table"
schema = "s.toml"
files = ["a-*.csv", "b.csv"]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory, and beside it the folder `study` with an experiment."""
    for name in ("work", "study"):
        (tmp_path / name).mkdir()
    (tmp_path / "study" / "e.toml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path / "work")
    say_once.cache_clear()
    return tmp_path


def loaded(name="../study/e.toml"):
    data = config.load(pathlib.Path(name))["data"]
    return data["schema"], data["files"]


def put(folder, *names):
    for name in names:
        (folder / name).write_text("")


def test_what_lies_beside_the_experiment_counts_from_there(here, capsys):
    put(here / "study", "s.toml", "a-1.csv")
    assert loaded() == ("../study/s.toml", ["../study/a-*.csv", "b.csv"])
    assert capsys.readouterr().err == ""


def test_the_rest_counts_from_the_working_directory(here, capsys):
    put(here / "work", "s.toml", "a-1.csv", "b.csv")
    assert loaded() == ("s.toml", ["a-*.csv", "b.csv"])
    assert capsys.readouterr().err == ""


def test_if_both_are_there_it_is_said_which_one_is_taken(here, capsys):
    put(here / "study", "s.toml")
    put(here / "work", "s.toml", "b.csv")
    assert loaded() == ("../study/s.toml", ["a-*.csv", "b.csv"])
    said = capsys.readouterr().err
    assert said == "s.toml: taken from ../study, beside the experiment, not from here\n"


def test_an_experiment_of_the_working_directory_stays_as_written(here, monkeypatch):
    put(here / "study", "s.toml", "b.csv")
    monkeypatch.chdir(here / "study")
    assert loaded("e.toml") == ("s.toml", ["a-*.csv", "b.csv"])


def test_an_absolute_path_stays(here):
    put(here / "study", "s.toml")
    (here / "study" / "e.toml").write_text(f"[data]\nschema = '{here}/work/s.toml'\n")
    data = config.load(here / "study" / "e.toml")["data"]
    assert data == {"schema": f"{here}/work/s.toml"}


def test_a_recorded_experiment_stays_as_it_is(here):
    run = here / "work" / "run"
    (run / "data").mkdir(parents=True)
    whole = {**config.to_dict(config.from_dict({})), "data": {"kind": "prepared"}}
    text = config.to_toml(config.from_dict({**whole, "data": {"kind": "synthetic"}}))
    recorded = text.replace(
        'kind = "synthetic"', 'kind = "prepared"\ndirectory = "data"'
    )
    (run / "experiment.toml").write_text(recorded)
    assert recorded_tree(run)["data"]["directory"] == "data"


def test_an_error_says_where_a_path_counts_from(here):
    with pytest.raises(ValueError, match=f"'s.toml'.* working directory, {here}/work"):
        table.build("s.toml", ("a.csv",))
    put(here / "work", "schema.toml")
    with pytest.raises(ValueError, match=r"Did you mean 'schema.toml'\?"):
        table.build("schem.toml", ("a.csv",))


def test_toml_may_begin_with_a_byte_order_mark(here):
    (here / "study" / "e.toml").write_bytes(EXPERIMENT.encode("utf-8-sig"))
    assert loaded()[0] == "s.toml"
