"""Completion, as a real shell does it."""

import subprocess

import pytest
from lib.training import call

SHELLS = ("bash", "fish", "zsh")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The script for bash, in a file."""
    path = tmp_path_factory.mktemp("completion") / "ple-jax.bash"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as out:
        patch.setattr("sys.stdout", out)
        assert call("completion", "bash") == 0
    return path


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["tr"], {"train"}),
        (["train", "x.toml", "--run"], {"--run-dir"}),
        (["train", "x.toml", "--train.eval"], {"--train.eval-batch-size"}),
        (["train", "x.toml", "--train.schedule", "co"], {"constant", "cosine"}),
        (["train", "x.toml", "--model.kind", "mm"], {"mmoe"}),
        (["train", "x.toml", "--model.num-experts"], {"--model.num-experts"}),
        (["train", "ti"], {"tiny.toml"}),
        (["evaluate", "x", "--split", "v"], {"validation"}),
    ],
)
def test_bash_completes_commands_files_and_knobs(script, tmp_path, words, found):
    (tmp_path / "tiny.toml").touch()
    program = f"""
    source {script}
    COMP_WORDS=(ple-jax "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    _shtab_ple_jax
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    command = ["bash", "-c", program, "bash", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert set(done.stdout.split()) == found, done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script_with_the_knobs(shell, capsys):
    assert call("completion", shell) == 0
    shown = capsys.readouterr().out
    assert "train.batch-size" in shown
    assert "model.num-levels" in shown


def test_another_shell_is_a_mistake(capsys):
    assert call("completion", "fsh") == 2
    assert "Did you mean 'fish'" in capsys.readouterr().err
