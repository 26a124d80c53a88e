"""Experiments: strict reading, and errors that help."""

import pytest

from ple_jax import config
from ple_jax.config.experiment import Inputs, Train
from ple_jax.config.values import convert


def test_what_is_not_written_takes_its_default():
    experiment = config.from_dict({"data": {"kind": "synthetic"}})
    assert experiment.model.kind == "ple"
    assert experiment.inputs == Inputs(**dict.fromkeys(config.RULED["inputs"], "auto"))
    assert experiment.train == Train(**dict.fromkeys(config.RULED["train"], "auto"))


def test_toml_round_trip(tmp_path):
    tree = {"model": {"kind": "mmoe", "expert_dims": [7, 5]}, "train": {"epochs": 3}}
    experiment = config.from_dict(tree)
    path = tmp_path / "experiment.toml"
    path.write_text(config.to_toml(experiment))
    assert config.from_dict(config.load(path)) == experiment


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"modle": {}}, "Did you mean 'model'"),
        ({"model": {"kind": "pel"}}, "Did you mean 'ple'"),
        ({"model": {"num_level": 2}}, "Did you mean 'num_levels'"),
        (
            {"model": {"num_levels": "two"}},
            r"model.num_levels: expected int, got 'two'",
        ),
        ({"train": {"epoch": 2}}, "Did you mean 'epochs'"),
        ({"train": {"epochs": 0}}, "train.epochs must be at least 1, got 0"),
        ({"train": {"seed": 2**63}}, "train.seed: expected a number of 64 bits, got"),
        ({"train": {"clip_norm": 10**400}}, "clip_norm: expected a number of"),
        (
            {"inputs": {"embedding_dim": 2 * 10**9}},
            "inputs.embedding_dim must be at most 1,048,576, got 2,000,000,000",
        ),
        ({"train": {"epochs": True}}, "expected int or 'auto', got True"),
        ({"train": {"schedule": "cosin"}}, "Did you mean 'cosine'"),
        ({"train": 3}, r"\[train\] must be a table"),
        ({"data": {"kind": "table"}}, "data.schema is needed"),
        ({"model": {"kind": 3}}, "model.kind: expected str, got 3"),
        ({"inputs": {"embedding_dim": 0}}, "at least 1"),
    ],
)
def test_mistakes_are_explained(tree, message):
    with pytest.raises(ValueError, match=message):
        config.from_dict(tree)


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "census_ple.toml").write_text("")
    with pytest.raises(ValueError, match=r"Did you mean 'census_ple.toml'"):
        config.load(tmp_path / "censsu_ple.toml")


def test_broken_toml_is_an_error_with_its_place(tmp_path):
    (tmp_path / "x.toml").write_text("[train\n")
    with pytest.raises(ValueError, match="not valid TOML"):
        config.load(tmp_path / "x.toml")


def test_differences_name_each_knob():
    old = config.from_dict({"train": {"seed": 1}})
    new = config.from_dict({"train": {"seed": 2}, "model": {"kind": "mmoe"}})
    changed = config.differences(old, new)
    assert "train.seed: 1 -> 2" in changed
    assert "model.kind: 'ple' -> 'mmoe'" in changed


def test_union_types_take_either():
    wanted = int | tuple[int, ...]
    assert convert(wanted, 3, "x") == 3
    assert convert(wanted, [3, 5], "x") == (3, 5)
    with pytest.raises(ValueError, match="x: expected int or a list of int, got 'a'"):
        convert(wanted, "a", "x")


def test_an_option_that_another_kind_takes_otherwise_is_dropped():
    tree = {"data": {"kind": "census_income", "features": "common"}}
    tree, dropped = config.with_kinds(tree, {"data": "hotel"})
    assert tree["data"] == {"kind": "hotel"}
    assert dropped == ["data.features"]


def test_recorded_runs_keep_what_was_done_before_a_knob_was_there():
    star = {"model": {"kind": "star", "momentum": 0.9}}
    then = config.from_dict(config.with_old_values(star))
    assert then.model.options["norm_window"] == 0
    assert config.from_dict(star).model.options["norm_window"] == 0.1
    own = {"model": {"kind": "star", "norm_window": 0.5}}
    assert config.with_old_values(own) == own
    other = {"model": {"kind": "not.allowed"}, "inputs": {"row_order": "spread"}}
    assert config.with_old_values(other) == other
    assert config.with_old_values({"inputs": {}})["inputs"]["row_order"] == "frequency"
    train = config.with_old_values({"train": {"epochs": 3}})["train"]
    assert Train(**train) == Train(epochs=3)
