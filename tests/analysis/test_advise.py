"""`ple-jax advise` from end to end, tiny."""

import json

import pytest
from lib.training import call

from ple_jax import config
from ple_jax.analysis import trees

TREE = """\
[data]
kind = "synthetic"
examples = 3001
domains = 2
[model]
kind = "mmoe"
[inputs]
embedding_dim = 3
[train]
epochs = 2
batch_size = 256
learning_rate = 0.01
devices = 1
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "logs.toml").write_text(TREE)
    return tmp_path


def test_advice_is_printed_and_written(here, capsys, monkeypatch):
    monkeypatch.setattr(trees, "OPTIONS", {**trees.OPTIONS, "max_iter": 5})
    kinds = ["trees", "single_task", "shared_bottom"]
    assert call("advise", "logs.toml", "--models", *kinds, "--json") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told == json.loads((here / "advice/logs/advice.json").read_text())
    assert list(told["models"]) == kinds
    best = told["recommended"]["kind"]
    assert [k for k, m in told["models"].items() if "test" in m] == [best]
    for kind, model in told["models"].items():
        assert [len(s) for s in model["scores"].values()] == [
            1 + 2 * (kind != "trees")
        ] * 2
    report = (here / "advice/logs/advice.md").read_text()
    for text in (f"Go on with `{best}`", "## Domains, train", "| category_0 |", "AUC"):
        assert text in report
    assert "next: ple-jax train advice/logs/logs.toml --train.seeds 5" in err
    tree = config.load(here / "advice/logs/logs.toml")
    assert config.from_dict(tree).model.kind == best
    assert tree["train"] == config.load(here / "logs.toml")["train"]
    assert call("advise", "logs.toml", "--out", "advice/logs") == 2
    assert "already exists" in capsys.readouterr().err


WRONG = {
    "no [data]": (["schema.toml"], "name an experiment, or a schema and its files"),
    "model": (["logs.toml", "--models", "pel"], "Did you mean 'ple'"),
    "trees alone": (["logs.toml", "--models", "trees"], "name a model too"),
    "time": (["logs.toml", "--minutes", "0"], "--minutes must be above 0, got 0.0"),
    "file": (["log.toml"], "Did you mean 'logs.toml'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_one_sentence_and_leave_nothing(here, capsys, name):
    (here / "schema.toml").write_text('categorical = ["a"]\n[[tasks]]\nname = "b"\n')
    arguments, message = WRONG[name]
    assert call("advise", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (here / "advice").exists()
