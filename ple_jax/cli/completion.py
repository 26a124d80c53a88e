"""Print a script that completes commands, files and knobs in a shell.

To install it, restart the shell after one of

    ple-jax completion bash > ~/.local/share/bash-completion/completions/ple-jax
    ple-jax completion fish > ~/.config/fish/completions/ple-jax.fish
    ple-jax completion zsh > DIR/_ple-jax        # DIR is a folder of $fpath
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=("bash", "fish", "zsh"))


def run(asked: argparse.Namespace) -> None:
    """Prints the script, with the knobs of every plugin that there is now."""
    import shtab

    from ple_jax.config import flags

    for command in asked.parser.commands:
        if command.takes_knobs:
            command.add_knobs("knobs", "", flags.all_lines())
        for file in command.files:
            file.complete = shtab.FILE
    print(shtab.complete(asked.parser, asked.shell))
