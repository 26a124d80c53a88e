"""Knobs on a command line: what is one, what its texts spell, and mistakes."""

from typing import Any, Literal

import pytest

from ple_jax import config
from ple_jax.config import flags
from ple_jax.config.values import from_texts


def split(line):
    return flags.split(line.split())


def experiment(tree, line):
    ordinary, knobs = split(line)
    assert ordinary == []
    return flags.experiment(tree, knobs)


def test_a_flag_with_a_dot_is_a_knob_and_the_rest_is_ordinary():
    line = "train x.toml --train.batch-size 3 --run-dir a.b --model.expert_dims 7 5 -h"
    ordinary, knobs = split(line)
    assert ordinary == ["train", "x.toml", "--run-dir", "a.b", "-h"]
    assert knobs == {"train.batch_size": ["3"], "model.expert_dims": ["7", "5"]}


def test_after_an_equals_sign_stands_one_value():
    ordinary, knobs = split("--train.epochs=3 x.toml --train.metric=a=b --train.only=")
    assert ordinary == ["x.toml"]
    assert knobs == {"train.epochs": ["3"], "train.metric": ["a=b"], "train.only": [""]}


def test_a_negative_number_is_a_value():
    assert split("--a.b -1 -.5 -1e-3 -inf --c")[1] == {
        "a.b": ["-1", "-.5", "-1e-3", "-inf"]
    }


@pytest.mark.parametrize("again", ["--train.batch-size=5", "--train.batch_size 5"])
def test_a_knob_is_given_once(again):
    with pytest.raises(ValueError, match=r"--train.batch.size is given twice\."):
        split(f"--train.batch-size 3 {again}")


@pytest.mark.parametrize(
    ("wanted", "texts", "value"),
    [
        (int, "3", 3),
        (int, "-1_000", -1000),
        (float, "3", 3.0),
        (float, "1e-3", 1e-3),
        (float, "-.5", -0.5),
        (float, "inf", float("inf")),
        (bool, "true", True),
        (bool, "false", False),
        (str, "3", "3"),
        (str, "true", "true"),
        (str, '"quoted"', '"quoted"'),
        (str | None, "folder", "folder"),
        (str | None, "none", None),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
        (tuple[int, ...], "7 5", (7, 5)),
        (tuple[int, ...], "7", (7,)),
        (tuple[int, ...], "[7,5]", (7, 5)),
        (tuple[int, ...], "[]", ()),
        (tuple[float, ...], "1 .5", (1.0, 0.5)),
        (tuple[float, float], "[1,2]", (1.0, 2.0)),
        (tuple[str, ...], "1 b", ("1", "b")),
        (tuple[str, ...], '["1","b"]', ("1", "b")),
        (tuple[tuple[int, ...], ...], "[1,2] []", ((1, 2), ())),
        (tuple[tuple[int, ...], ...], "[[1,2],[3]]", ((1, 2), (3,))),
        (int | tuple[int, ...], "3", 3),
        (int | tuple[int, ...], "3 5", (3, 5)),
        (str | tuple[str, ...], "a", "a"),
        (Any, "[1,'a']", [1, "a"]),
        (Any, "free", "free"),
    ],
)
def test_a_text_becomes_the_type_of_its_knob(wanted, texts, value):
    found = from_texts(wanted, texts.split(), "x")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("wanted", "texts", "message"),
    [
        (int, "x", "x: expected int, got 'x'"),
        (int, "1.5", "x: expected int, got 1.5"),
        (int, "1e3", "x: expected int, got 1000.0"),
        (int, "true", "x: expected int, got True"),
        (int, "[3]", r"x: expected int, got \[3\]"),
        (int, "3 5", r"x takes one value, got 3 5\."),
        (int, "", r"x needs a value: expected int\."),
        (float, "fast", "x: expected float, got 'fast'"),
        (bool, "yes", "x: expected true or false, got 'yes'"),
        (bool, "1", "x: expected true or false, got 1"),
        (Literal["cosine", "linear"], "cosin", "Did you mean 'cosine'"),
        (tuple[int, ...], "", "x needs a value: expected a list of int"),
        (tuple[int, ...], "7 b", r"x\[1\]: expected int, got 'b'"),
        (tuple[int, ...], "[7,", r"x: expected a list of int, got '\[7,'"),
        (tuple[float, float], "1 2 3", "x: expected 2 values, got"),
        (int | tuple[int, ...], "a b", r"x: expected int or a list of int, got \['a'"),
    ],
)
def test_a_text_of_another_type_is_explained(wanted, texts, message):
    with pytest.raises(ValueError, match=message):
        from_texts(wanted, texts.split(), "x")


def test_knobs_stand_in_the_place_of_the_files():
    tree = {"model": {"kind": "ple", "expert_dims": [8]}, "train": {"epochs": 3}}
    line = "--model.num-levels 1 --model.expert-dims 7 5 --train.learning-rate 3e-3"
    found, dropped = experiment(tree, line)
    assert found.model.options["num_levels"] == 1
    assert found.model.options["expert_dims"] == (7, 5)
    assert found.train.learning_rate == 3e-3
    assert found.train.epochs == 3
    assert dropped == []
    assert tree["model"] == {"kind": "ple", "expert_dims": [8]}


def test_another_kind_keeps_the_options_that_it_shares():
    tree = {"model": {"kind": "ple", "num_levels": 3, "tower_dims": [5]}}
    found, dropped = experiment(tree, "--model.num-experts 3 --model.kind mmoe")
    assert found.model.kind == "mmoe"
    assert found.model.options["tower_dims"] == (5,)
    assert found.model.options["num_experts"] == 3
    assert dropped == ["model.num_levels"]


def test_none_unsets_a_knob_that_the_file_sets():
    tree = {"data": {"kind": "kuairand", "data_dir": "here"}}
    assert experiment(tree, "--data.data-dir none")[0].data.options["data_dir"] is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--trian.epochs 3", "Did you mean 'train'"),
        ("--train.epochz 3", "knob of train. Did you mean 'epochs'"),
        ("--model.num-level 3", "knob of model 'ple'. Did you mean 'num_levels'"),
        ("--model.num-levels.x 3", "Did you mean 'num_levels'"),
        ("--model.kind mmoe --model.num-levels 3", "knob of model 'mmoe'"),
        ("--model.kind pel", "Did you mean 'ple'"),
        ("--model.kind", "model.kind needs a value"),
        ("--model.kind ple mmoe", "model.kind takes one value, got ple mmoe"),
        ("--train.kind 3", "'kind' is not a known knob of train"),
        ("--train.epochs", "train.epochs needs a value: expected int"),
        ("--train.epochs x", "train.epochs: expected int or 'auto', got 'x'"),
        ("--train.epochs 0", "train.epochs must be at least 1, got 0"),
        ("--sweep.train.seed 1", "'sweep' is not a known section"),
    ],
)
def test_mistakes_are_explained(line, message):
    with pytest.raises(ValueError, match=message):
        experiment({}, line)


def test_a_sweep_has_a_list_of_values():
    line = "--sweep.train.learning-rate 1e-3 .5 3 --train.seed 3"
    line += " --sweep.model.expert-dims=[7] --sweep.train.optimizer adam sgd"
    single, lists = flags.split_sweep(split(line)[1])
    assert single == {"train.seed": ["3"]}
    assert lists == {
        "train.learning_rate": [1e-3, 0.5, 3],
        "model.expert_dims": [[7]],
        "train.optimizer": ["adam", "sgd"],
    }
    with pytest.raises(ValueError, match=r"train.seed is swept.*--sweep.train.seed"):
        flags.check_not_swept(single, ["train.seed"])


def test_every_knob_is_described_with_what_it_takes_and_has():
    tree = {"train": {"epochs": 37}, "data": {"kind": "table"}, "sweep": {}}
    sections = flags.described(tree, {"model.num_levels": ["5"]})
    lines = {line.flag: line for section in sections for line in section.lines}
    known = [(s, config.kind_of(s, tree)) for s in config.SECTIONS]
    paths = [f"--{s}.{name}" for s, kind in known for name in config.knobs(s, kind)]
    assert list(lines) == [path.replace("_", "-") for path in paths]
    assert lines["--train.seed"].expected == "INT"
    assert lines["--train.epochs"].expected == "INT|{auto}"
    assert lines["--train.epochs"].help.endswith("(now 37)")
    assert lines["--train.patience"].help.endswith('(now "auto")')
    assert lines["--model.num-levels"].help.endswith("(now 5)")
    assert lines["--model.experts-per-task"].expected == "INT|INT ..."
    assert lines["--train.schedule"].expected == "{constant,cosine,linear}"
    assert lines["--inputs.per-domain"].expected == "{true,false}"
    assert lines["--data.files"].expected == "TEXT ..."
    assert lines["--data.files"].help.endswith("(must be given)")
    assert "mmoe" in lines["--model.kind"].help
    assert not [flag for flag, line in lines.items() if line.help.startswith(" ")]


def test_an_old_name_of_a_knob_is_understood():
    changed, _ = flags.overridden({}, {"train.replicas": ["3"]})
    assert changed["train"] == {"seeds": 3}
