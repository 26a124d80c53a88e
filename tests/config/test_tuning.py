"""Spaces: what knobs state, and what a table [tune] may say."""

import itertools

import jax
import numpy as np
import pytest

from ple_jax import config, models, plugins
from ple_jax.config import flags, sweep, tuning
from ple_jax.space import Between, OneOf

BASE = config.from_dict({"model": {"kind": "mmoe"}})


@pytest.mark.parametrize("kind", models.available())
def test_every_model_states_a_space_each_point_of_which_builds(kind):
    ranges = tuning.stated(plugins.find("ple_jax.models", kind).build)
    assert "dropout_rate" in ranges
    assert len(ranges) > 2
    points = [*itertools.product(*(of.examples for of in ranges.values()))]
    for point in points:
        values = dict(zip(ranges, point, strict=True))
        model = models.build(kind, num_tasks=2, num_domains=3, **values)
    x, domain = np.zeros((5, 7), np.float32), np.zeros(5, np.int32)
    jax.eval_shape(model.init, jax.random.key(0), x, domain)


@pytest.mark.parametrize("kind", models.available())
def test_the_defaults_of_a_model_are_in_its_space(kind):
    build = plugins.find("ple_jax.models", kind).build
    known = plugins.options_of(build)
    for name, of in tuning.stated(build).items():
        if isinstance(of, OneOf):
            assert known[name].default in of.values, name
        else:
            assert of.low <= known[name].default <= of.high, name


def test_without_a_table_every_stated_range_is_searched():
    found = tuning.space_of(BASE, {})
    assert found["train.learning_rate"].log
    assert found["model.num_experts"] == OneOf(2, 4, 8, 16)
    assert "inputs.embedding_dim" in found
    assert "model.num_levels" not in found  # MMoE has no such knob
    assert not [path for path in found if path.startswith("data.")]


@pytest.mark.parametrize(
    ("path", "asked", "wanted"),
    [
        ("train.learning_rate", [0.001, 0.002], Between(0.001, 0.002, log=True)),
        ("train.clip_norm", [0.5, 5], Between(0.5, 5.0)),
        ("train.clip_norm", [0.05, 5], Between(0.05, 5.0, log=True)),
        ("train.epochs", [2, 9], Between(2, 9)),
        ("train.epochs", [2, 4, 9], OneOf(2, 4, 9)),
        ("train.epochs", {"choices": [2, 9]}, OneOf(2, 9)),
        ("train.clip_norm", {"low": 1, "high": 3}, Between(1.0, 3.0)),
        ("model.expert_dims", [[7], [5, 3]], OneOf((7,), (5, 3))),
        ("model.batch_norm", [True, False], OneOf(True, False)),
        ("model.dropout_rate", [], Between(0.0, 0.5)),
        ("train.optimizer", ["adam", "sgd"], OneOf("adam", "sgd")),
    ],
)
def test_a_range_is_read(path, asked, wanted):
    found = tuning.space_of(BASE, {path: asked})
    assert found == {path: wanted}
    assert type(found[path].examples[0]) is type(wanted.examples[0])


@pytest.mark.parametrize(
    ("path", "asked", "why"),
    [
        ("train.learning_rat", [1e-3, 1e-2], "Did you mean 'learning_rate'"),
        ("trian.learning_rate", [1e-3, 1e-2], "Did you mean 'train'"),
        ("model.expert_dim", [[3], [5]], "Did you mean 'expert_dims'"),
        ("train.learning_rate", [-1.0, 1e-2], "low > 0"),
        ("train.clip_norm", [-1.0, 1.0], "clip_norm must be at least 0"),
        ("train.epochs", [9, 2], "low < high"),
        ("train.epochs", [0.5, 2], "expected int"),
        ("train.epochs", [3], "several"),
        ("train.epochs", 3, "a range or choices"),
        ("train.epochs", {"lo": 3, "high": 5}, "Did you mean 'low'"),
        ("train.epochs", {"low": 3}, "high must be given"),
        ("train.optimizer", ["adam", "sdg"], "Did you mean 'sgd'"),
        ("train.clip_norm", [], "states no range"),
        ("model.kind", ["ple", "mmoe", "star"], "cannot be tuned"),
        ("data.examples", [5, 9], "one data set"),
        ("train.seed", [0, 9], "cannot be tuned"),
    ],
)
def test_a_wrong_range_is_an_error(path, asked, why):
    with pytest.raises(ValueError, match=why):
        tuning.space_of(BASE, {path: asked})


def test_a_table_and_flags_are_split_off():
    tree = {
        "train": {"epochs": 3},
        "tune": {"train": {"learning_rate": [1e-3, 1e-2], "epochs": [2, 3]}},
    }
    knobs = {
        "tune.train.epochs": ["4", "7"],
        "tune.model.dropout_rate": [],
        "tune.train.clip_norm": ["{low = 1, high = 2}"],
        "train.seed": ["3"],
    }
    single, more = flags.split_ranges(knobs)
    assert single == {"train.seed": ["3"]}
    rest, asked = tuning.taken(tree, more)
    assert rest == {"train": {"epochs": 3}}
    assert asked == {
        "train.learning_rate": [1e-3, 1e-2],
        "train.epochs": [4, 7],
        "model.dropout_rate": [],
        "train.clip_norm": {"low": 1, "high": 2},
    }
    assert sweep.taken(tree) == (rest, {})  # `train` takes the same file
    with pytest.raises(ValueError, match="use one"):
        tuning.taken({**tree, "sweep": {"train": {"seed": [1, 2]}}})


def test_a_space_is_written_and_read_back(tmp_path):
    wanted = tuning.space_of(BASE, {})
    file = tmp_path / "x.toml"
    file.write_text(tuning.to_toml(BASE, wanted))
    tree, asked = tuning.taken(config.load(file))
    assert config.from_dict(tree) == BASE
    assert tuning.space_of(BASE, asked) == wanted
