"""The commands: found by their files, apart from each other, clear about mistakes."""

import ast
import pathlib
import subprocess
import sys

import pytest
from lib.training import TINY, call

from ple_jax import cli, config
from ple_jax.cli import main

ROOM = pathlib.Path(next(iter(cli.__path__)))
COMMAND = '''"""Say the kind of the model.

At length.
"""
def add_arguments(parser):
    parser.add_argument("--loudly", action="store_true")
def tree_of(asked):
    return {"model": {"kind": "mmoe", "num_experts": 3}}
def run(asked):
    from ple_jax.config import flags
    kind = flags.experiment(tree_of(asked), asked.knobs)[0].model.kind
    print(kind.upper() if asked.loudly else kind)
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.toml").write_text(config.to_toml(config.from_dict(TINY)))
    return tmp_path


@pytest.fixture
def new_command(tmp_path, monkeypatch):
    """A file more in the room of commands."""
    (tmp_path / "say_kind.py").write_text(COMMAND)
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    yield
    sys.modules.pop("ple_jax.cli.say_kind")


def shown_by(capsys, *arguments):
    assert call(*arguments) == 0
    return capsys.readouterr().out


# Commands are files.


def test_every_file_with_run_is_a_command():
    files = {p.stem for p in ROOM.glob("*.py") if "\ndef run(" in p.read_text()}
    assert set(main.commands()) == files - {"main"}
    assert {"train", "evaluate"} <= files


def test_main_knows_no_command_and_no_command_knows_another():
    names = set(main.commands())
    for path in ROOM.glob("*.py"):
        tree = ast.parse(path.read_text())
        froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        imported = {f"{n.module}.{a.name}" for n in froms for a in n.names}
        of_cli = {name.split(".")[2] for name in imported if ".cli." in name}
        assert not of_cli & names  # what several share is a file without `run`
    words = {
        n.value
        for n in ast.walk(ast.parse((ROOM / "main.py").read_text()))
        if isinstance(n, ast.Constant)
    }
    assert not names & words


def test_a_new_file_is_a_new_command_with_knobs_and_help(new_command, capsys):
    assert shown_by(capsys, "say-kind") == "mmoe\n"
    assert shown_by(capsys, "say-kind", "--loudly", "--model.kind", "ple") == "PLE\n"
    assert "say-kind  Say the kind of the model." in shown_by(capsys, "--help")
    shown = shown_by(capsys, "say-kind", "--help")
    assert "At length." in shown
    assert "--model.num-experts INT" in shown
    assert "(now 3)" in shown
    assert call("say-kind", "--model.kidn", "x") == 2
    assert "Did you mean 'kind'" in capsys.readouterr().err


# Help.


def test_help_of_train_shows_every_knob_with_its_value(here, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "77")
    knobs = ["--model.kind", "mmoe", "--train.epochs", "37"]
    shown = shown_by(capsys, "train", "--help", "tiny.toml", *knobs)
    assert max(map(len, shown.splitlines())) <= 77
    words = " ".join(shown.split())
    tree = {**TINY, "model": {"kind": "mmoe"}}
    for path in config.flat(config.from_dict(tree)):
        assert f"--{path.replace('_', '-')} " in words, path
    assert "num-levels" not in words
    assert "(now 37)" in words
    assert "Passes over the train split" in words
    assert "--sweep.SECTION.KNOB" in words


def test_every_command_takes_a_plugin_of_the_working_directory(here, capsys):
    (here / "mine_own").mkdir()
    (here / "mine_own" / "linear.py").write_text("def build(\n  steep: int = 3): ...")
    for name in main.commands():
        assert "--plugin MODULE" in shown_by(capsys, name, "--help")
    line = ["--model.kind", "mine_own.linear", "--plugin", "mine_own.linear"]
    assert "--model.steep INT" in shown_by(capsys, "train", "--help", *line)


def test_help_shows_a_strangers_values_escaped(here, capsys):
    (here / "odd.toml").write_text('[train]\nmetric = "a\u202eb\u009bc"\n')
    shown = shown_by(capsys, "train", "--help", "odd.toml")
    assert r"a\u202eb\x9bc" in shown


def test_help_shows_what_is_swept(here, capsys):
    (here / "swept.toml").write_text("[sweep]\ntrain.epochs = [3, 5]\n")
    more = ["--sweep.model.num-levels", "1", "2"]
    words = " ".join(shown_by(capsys, "train", "-h", "swept.toml", *more).split())
    assert "mostly ends earlier. (swept: [3, 5])" in words
    assert "(swept: [1, 2])" in words


def test_help_needs_no_experiment_and_no_arguments(capsys):
    assert "--model.num-levels" in shown_by(capsys, "train", "-h")
    for name in main.commands():
        assert "show this help" in shown_by(capsys, name, "--help")


def test_help_of_a_missing_experiment_is_a_mistake(here, capsys):
    assert call("train", "tni.toml", "--help") == 2
    assert "Did you mean 'tiny.toml'" in capsys.readouterr().err


# Mistakes.


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "required: COMMAND"),
        ("trian tiny.toml", "Did you mean 'train'?"),
        ("evaluate . --split tset", "Did you mean 'test'?"),
        ("evaluate", "required: run"),
        ("train tiny.toml --run-dri x", "'--run-dri'. Did you mean '--run-dir'?"),
        ("train tiny.toml --run-di=x", "Did you mean '--run-dir'?"),
        ("train tiny.toml --epochs 3", "Did you mean '--train.epochs'?"),
        ("train tiny.toml --run-dir", "--run-dir: expected one argument"),
        ("train --epochs 3 tiny.toml", "'--epochs'. Did you mean '--train.epochs'?"),
        ("train --run-dir tiny.toml", "train tiny.toml --run-dir DIR`"),
        ("--run-dir x train tiny.toml", "--run-dir stands before the command"),
        ("--train.epochs 3 train tiny.toml", "then options: `ple-jax train ...`"),
        ("tiny.toml", "Name the command first, such as `ple-jax train tiny.toml`"),
        ("train tiny.toml --train.devices 4000", "must be at most"),
        ("train tiny.toml more", "does not take 'more' here"),
        ("train --train.epochs 3 tiny.toml", "`ple-jax train tiny.toml ...`"),
        ("train tiny.toml --train.epochs 3 --train.epochs 5", "given twice"),
        ("train tiny.toml --train.epochs", "train.epochs needs a value"),
        ("train tiny.toml --train.epochs --resume", "--resume needs --run-dir"),
        ("train --resume", "--resume needs --run-dir"),
        ("models --train.epochs 3", "takes no knobs, got train.epochs"),
        ("predict a.csv b.csv", "required: --out"),
        ("train .", "no experiment file"),
        ("train tiny.toml --plugin tower", "'tower' is not a module's dotted name"),
        ("train tiny.toml --model.kind a..b", "'a..b' is not a module's dotted name"),
        ("train tiny.toml --model.kind a.b", "tiny.toml --model.kind a.b --plugin a.b"),
        ("train tiny.toml --data-dir a --data.data-dir b", "two folders: give one"),
        (f"train {'x' * 300}.toml", "x.toml: File name too long"),
        ("train \udc80.toml", "no experiment file '\\udc80.toml'"),
    ],
)
def test_a_mistake_is_one_line(here, capsys, line, message):
    assert main.main(line.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert message in shown.err
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("text", "knobs", "is_said"),
    [
        ("", "", True),
        ("[train]\n", "--train.seeds 0", True),
        ('[data]\nkind = "synthetic"\n', "", False),
        ("", "--data.kind synthetic", False),
    ],
)
def test_training_without_data_of_ones_own_is_said(here, capsys, text, knobs, is_said):
    """Before it fails, here, since nothing is to be trained."""
    (here / "some.toml").write_text(text)
    line = f"train some.toml {knobs} --train.devices 4000"
    assert main.main(line.split()) == 2
    said = "some.toml has no [data], so this trains on the synthetic data set"
    assert (said in capsys.readouterr().err) == is_said


@pytest.mark.parametrize("arguments", [["--help"], ["datasets", "--json"]])
def test_a_reader_that_goes_away_is_no_mistake(here, arguments):
    command = [sys.executable, "-m", "ple_jax", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() in (0, 1)  # argparse itself says nothing of a closed pipe


def test_an_interrupted_command_stops_without_a_traceback(capsys, monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "run", interrupted)
    assert main.main([]) == 130
    assert "Traceback" not in capsys.readouterr().err
