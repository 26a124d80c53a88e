"""The reference of schema files: complete, and as strict as their reader."""

import copy
import json
import pathlib
import re
import tomllib

import jsonschema
import pytest
from lib.tables import SCHEMA_TEXT, raw, write_csv
from lib.training import call

from ple_jax import config
from ple_jax.config.json_schema import of_experiments
from ple_jax.data.schema_file import schema_from_tree
from ple_jax.data.schema_reference import of_schemas, sections

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
OF_SCHEMAS = jsonschema.Draft202012Validator(of_schemas())
FENCE = re.compile(
    r"^```(?:\{code-block\} )?toml\n(?::[^\n]*\n\n)?(.*?)^```$", re.M | re.S
)
PAGES = [page.read_text(encoding="utf-8") for page in sorted(ROOT.glob("docs/**/*.md"))]
BLOCKS = [block for page in PAGES for block in FENCE.findall(page)]
PARTS = ("[derived", "[fields", "[[tasks]]")  # of a schema, not of an experiment
WHOLE = [SCHEMA_TEXT, (ROOT / "experiments" / "own_table_schema.toml").read_text()]
WHOLE += [block for block in BLOCKS if any(part in block for part in PARTS)]


@pytest.fixture(scope="module")
def experiments():
    made = of_experiments()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def complaints(validator, tree):
    return [error.message for error in validator.iter_errors(tree)]


def is_read(tree):
    try:
        schema_from_tree(tree)
    except ValueError:
        return False
    return True


def test_it_is_json_schema():
    jsonschema.Draft202012Validator.check_schema(of_schemas())
    assert json.loads(json.dumps(of_schemas())) == of_schemas()


@pytest.mark.parametrize("text", WHOLE)
def test_schemas_of_the_documentation_are_valid(text):
    tree = tomllib.loads(text)
    if 'name = "click"' not in text:  # a part, as are those without lists of columns
        tree["tasks"] = [{"name": "click"}, *tree.get("tasks", [])]
    if not {"categorical", "numeric"} & set(tree):
        tree |= {"categorical": ["user", "item"], "numeric": ["price"]}
    schema_from_tree(tree)
    assert complaints(OF_SCHEMAS, tree) == []


def test_experiments_of_the_documentation_are_valid(experiments):
    trees = [tomllib.loads(b) for b in BLOCKS if re.search(r"^\[data\]", b, re.M)]
    assert len(trees) > 1
    for tree in trees:
        assert complaints(experiments, tree) == []


BASE = {
    "categorical": ["shop", "hour", "kind_of_day"],
    "numeric": ["price"],
    "fields": {"tags": {"kind": "multi_valued"}, "price": {"bins": 7}},
    "derived": {
        "hour": {"kind": "hour", "of": "time"},
        "kind_of_day": {"kind": "cross", "of": ["hour", "shop"], "values": 9},
    },
    "tasks": [{"name": "click"}, {"name": "buy", "positive": ["y"], "given": "click"}],
    "split": {"fractions": [0.5, 0.25, 0.25]},
}
GOOD = [
    {},
    {"unknown_warning": 1},
    {"fields": {"price": {"encodings": "log", "dim": 3}}},
    {"tasks": [{"name": "stars", "positive": ">= 4"}]},
    {"tasks": [{"name": "stars", "loss": "ordinal", "levels": [1, 2.5, 5]}]},
    {"tasks": [{"name": "spent", "loss": "huber", "delta": 30}]},
    {"tasks": [{"name": "click", "positive_weight": 7, "smoothing": 0}]},
    {
        "tasks": [
            {"name": "click"},
            {"name": "buy", "given": "click", "entire_space": True},
        ]
    },
    {"split": {"by": "time", "column": "time"}},
    {"format": {"missing": ["?"], "strip": False}},
    {"derived": {**BASE["derived"], "hour": {"kind": "constant", "value": "x"}}},
]
BAD = {
    "a wrong key": {"catgorical": []},
    "a wrong key of a field": {"fields": {"price": {"bin": 3}}},
    "a wrong key of a task": {"tasks": [{"name": "click", "postive": "y"}]},
    "a wrong key of the split": {"split": {"sed": 3}},
    "a name in a table that has it": {"fields": {"price": {"name": "price"}}},
    "text for a list": {"categorical": "shop"},
    "a number for text": {"domain": 3},
    "text for a number": {"fields": {"price": {"bins": "many"}}},
    "true for a number": {"fields": {"price": {"bins": True}}},
    "a fraction for a whole number": {"fields": {"price": {"bins": 2.5}}},
    "too small": {"fields": {"price": {"bins": 0}}},
    "too large": {"fields": {"price": {"bins": 10**9}}},
    "a share above 1": {"unknown_warning": 1.5},
    "an unknown kind": {"fields": {"tags": {"kind": "list"}}},
    "an unknown encoding": {"fields": {"price": {"encodings": ["logarithm"]}}},
    "an unknown loss": {"tasks": [{"name": "click", "loss": "hinge"}]},
    "an option of another loss": {"tasks": [{"name": "click", "delta": 1.0}]},
    "no option that a loss needs": {"tasks": [{"name": "spent", "loss": "huber"}]},
    "an option out of its range": {
        "tasks": [{"name": "spent", "loss": "quantile", "quantile": 1}]
    },
    "values of a number that count as 1": {
        "tasks": [{"name": "spent", "loss": "squared", "positive": ">= 4"}]
    },
    "a task without a name": {"tasks": [{"positive": "y"}]},
    "no task": {"tasks": []},
    "two fractions": {"split": {"fractions": [0.5, 0.5]}},
    "an unknown kind of derived column": {"derived": {"hour": {"kind": "minute"}}},
    "a derived column without kind": {"derived": {"hour": {"of": "time"}}},
    "an option of another kind": {
        "derived": {
            **BASE["derived"],
            "hour": {"kind": "hour", "of": "t", "edges": [1]},
        }
    },
    "too few inputs": {
        "derived": {**BASE["derived"], "hour": {"kind": "age", "of": ["time"]}}
    },
    "too many inputs": {
        "derived": {**BASE["derived"], "hour": {"kind": "hour", "of": ["a", "b"]}}
    },
    "an encoding of another kind": {
        "fields": {"tags": {"kind": "sequence", "encodings": ["log"]}}
    },
    "an encoding of ids for a number": {
        "fields": {"paid": {"kind": "numeric", "encodings": "count"}}
    },
    "a split by time without a column": {"split": {"by": "time"}},
    "text without values": {"derived": {"hour": {"kind": "text", "of": "title"}}},
}


@pytest.mark.parametrize("change", GOOD)
def test_reader_and_json_schema_take_the_same(change):
    assert is_read(BASE | change)
    assert complaints(OF_SCHEMAS, BASE | change) == []


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_reader_and_json_schema_refuse_the_same(change):
    assert not is_read(BASE | change)
    assert complaints(OF_SCHEMAS, BASE | change)


def test_no_tasks_are_refused_by_both():
    tree = {key: value for key, value in BASE.items() if key != "tasks"}
    assert not is_read(tree)
    assert complaints(OF_SCHEMAS, tree)


def test_every_key_has_help_and_stands_in_the_documentation():
    for name, section in sections().items():
        for key, option in section.keys.items():
            assert option.help, (name, key)
            said = re.search(rf"`({name}\.)?{key}( = .*?)?`|^{key} = ", PAGE, re.M)
            assert said, f"docs/schema.md says nothing of {section.title} {key}"


@pytest.mark.parametrize("file", sorted((ROOT / "experiments").glob("*.toml")))
def test_experiments_are_valid(file, experiments):
    tree = tomllib.loads(file.read_text(encoding="utf-8"))
    if "data" not in tree:
        pytest.skip("a schema")
    assert complaints(experiments, tree) == []
    for section, knob, value in (
        ("train", "epoch", 3),
        ("train", "epochs", "three"),
        ("train", "optimizer", "adm"),
        ("model", "num_levls", 2),
        ("model", "kind", "plee"),
        ("data", "files", 3),
    ):
        wrong = copy.deepcopy(tree)
        wrong.setdefault(section, {})[knob] = value
        assert complaints(experiments, wrong), (section, knob)


def test_a_whole_experiment_is_valid(experiments):
    whole = config.to_dict(config.from_dict({"data": {"kind": "synthetic"}}))
    known = {
        section: {k: v for k, v in knobs.items() if v is not None}
        for section, knobs in whole.items()
    }
    assert complaints(experiments, known) == []
    assert complaints(experiments, {"model": {"kind": "acme.tower", "x": 3}}) == []
    swept = {"sweep": {"train": {"seed": [1, 2]}}}
    assert complaints(experiments, swept) == []
    assert complaints(experiments, {"sweep": {"train": {"seed": 1}}})


# The command.


def test_the_command_shows_every_key(capsys):
    assert call("schema") == 0
    shown = capsys.readouterr().out
    for section in sections().values():
        assert section.title in shown
        assert all(key in shown for key in section.keys)


def test_the_command_writes_json_schema(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("schema", "--json-schema") == 0
    assert json.loads(capsys.readouterr().out) == of_schemas()
    assert call("schema", "--json-schema", "--out", "x.json") == 0
    assert json.loads((tmp_path / "x.json").read_text()) == of_schemas()
    assert "#:schema ./x.json" in capsys.readouterr().err
    assert call("schema", "--json-schema", "--out", "x.json") == 2
    assert call("schema", "--json-schema", "--out", "x.json", "--overwrite") == 0


def test_the_command_checks_a_schema_and_its_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.toml").write_text(f"#:schema ./x.json\n{SCHEMA_TEXT}")
    write_csv(tmp_path / "a.csv")
    assert call("schema", "schema.toml") == 0
    assert "multi_valued" in capsys.readouterr().out
    assert call("schema", "schema.toml", "a.csv") == 0
    shown = capsys.readouterr().out
    assert "a.csv" in shown
    assert sum(
        map(int, re.findall(r"^(?:train|validation|test) +(\d+) ", shown, re.M))
    ) == len(raw())
    (tmp_path / "b.csv").write_text("shop,item\ns,i\n")
    assert call("schema", "schema.toml", "b.csv") == 2
    assert "b.csv has no column 'price'" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.csv",
        "b.csv",
        "schema.toml",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "x"), "need --json-schema"),
        (("--experiment",), "need --json-schema"),
        (("--json-schema", "schema.toml"), "takes no file, got 'schema.toml'"),
        (("none.toml",), "There is no schema file 'none.toml'"),
    ],
)
def test_the_command_explains_mistakes(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert call("schema", *arguments) == 2
    assert message in capsys.readouterr().err
