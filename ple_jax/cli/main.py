"""`ple-jax`: finds the commands, reads the command line, runs one.

A command is a file of this folder that defines `run`. Its docstring is its help, and it
defines

    add_arguments(parser)   its ordinary arguments
    tree_of(asked)          if it takes knobs: the experiment's dicts that they change
    run(asked)              what it does; returns the exit status, or None for 0

`asked` holds the arguments; `asked.knobs` the texts of each knob, `asked.parser` the
whole parser, `asked.rest` the command that one with `HANDS_ON` runs, `asked.plugin` the
modules that --plugin allows, an option of them all. A command imports what is slow,
such as JAX, only where it uses it.
"""

import argparse
import importlib
import os
import pathlib
import pkgutil
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, NoReturn

from ple_jax import __version__, cli, plugins
from ple_jax.checks import nearest
from ple_jax.cli.experiment import STOPPED
from ple_jax.config import flags
from ple_jax.show.errors import sentence
from ple_jax.show.escape import printable

MISTAKE = 2
NO_KNOBS: flags.Knobs = MappingProxyType({})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    A fault of the user or the machine ends in one message and status 2.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        try:
            return run(given)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away, which is its right; say nothing more on a closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:
        told = sentence(error)
        if told is None:  # our mistake, so the traceback is of use
            raise
        if isinstance(error, plugins.NotAllowed):
            again = shlex.join(["ple-jax", *given, "--plugin", error.module])
            told += f" The whole command is then: {again}"
        print(f"error: {printable(told)}", file=sys.stderr)
        return MISTAKE


def run(arguments: Sequence[str]) -> int:
    """Reads a command line, and does what it asks for."""
    check_order(arguments)
    own, rest = handed_on(arguments)
    ordinary, knobs = flags.split(own)
    # Last, so that help knows the experiment that stands after it.
    ordinary.sort(key=lambda a: a in ("-h", "--help"))
    top = parser(knobs)
    asked, unknown = top.parse_known_args(ordinary)
    command = commands()[asked.command]
    if unknown:
        refuse(unknown[0], asked, command)
    if knobs and not hasattr(command, "tree_of"):
        first = next(iter(knobs))
        raise ValueError(f"`ple-jax {asked.command}` takes no knobs, got {first}.")
    asked.knobs, asked.parser, asked.rest = knobs, top, rest
    return command.run(asked) or 0


def handed_on(arguments: Sequence[str]) -> tuple[Sequence[str], list[str]]:
    """The arguments of a command, and the whole command that it hands on, if it does.

    That begins after `--`, or else with the name of a command.
    """
    known = commands()
    command = known.get(next(iter(arguments), ""))
    if not hasattr(command, "HANDS_ON"):
        return arguments, []
    marks = (i for i, a in enumerate(arguments) if i and (a == "--" or a in known))
    end = next(marks, len(arguments))
    rest = [*arguments[end:]]
    return arguments[:end], rest[1:] if rest[:1] == ["--"] else rest


def check_order(arguments: Sequence[str]) -> None:
    """Raises a ValueError if something stands before the command."""
    first = next(iter(arguments), "")
    named = [argument for argument in arguments if argument in commands()]
    if first.startswith("-") and named and first not in ("-h", "--help", "--version"):
        raise ValueError(
            f"{first} stands before the command. Name the command first, then files, "
            f"then options: `ple-jax {named[0]} ...`."
        )
    if first.endswith(".toml"):
        raise ValueError(f"Name the command first, such as `ple-jax train {first}`.")


def refuse(argument: str, asked: argparse.Namespace, command: ModuleType) -> None:
    """Raises a ValueError for an unknown argument, with the nearest option or knob."""
    what = f"`ple-jax {asked.command}` does not take {argument!r}"
    if not argument.startswith("-"):
        raise ValueError(f"{what} here: name files first, then options, then knobs.")
    known = [f"--{name.replace('_', '-')}" for name in vars(asked)]
    if hasattr(command, "tree_of"):
        try:
            tree = command.tree_of(asked)
        except ValueError:  # the value of an unknown flag was taken for a file
            tree = {}
        sections = flags.described(tree, NO_KNOBS)
        known += [line.flag for section in sections for line in section.lines]
    raise ValueError(f"{what}.{nearest(argument.partition('=')[0], known)}")


def commands() -> dict[str, ModuleType]:
    """The commands by name."""
    names = sorted(found.name for found in pkgutil.iter_modules(cli.__path__))
    modules = {n: importlib.import_module(f"{cli.__name__}.{n}") for n in names}
    modules.pop("main")
    return {n.replace("_", "-"): m for n, m in modules.items() if hasattr(m, "run")}


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line, and shows knobs in its help.

    Attributes:
        files: Its arguments that name a file.
        commands: The parsers of the commands, if it is the one above them.
        takes_knobs: Whether its command takes knobs.
    """

    def __init__(self, **options: Any):
        self.files: list[argparse.Action] = []
        self.commands: list[Parser] = []
        self.takes_knobs = False
        super().__init__(allow_abbrev=False, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Adds an argument, and notes whether it names a file."""
        action = super().add_argument(*names, **options)
        self.files += [action] if options.get("type") is pathlib.Path else []
        return action

    def add_knobs(self, title: str, summary: str, lines: Iterable[flags.Line]) -> None:
        """Shows the knobs of a section in the help; the usage stays short."""
        group = self.add_argument_group(title, summary)
        for flag, expected, about, choices in lines:
            about = about.replace("%", "%%")
            group.add_argument(flag, metavar=expected, help=about, choices=choices)

    def format_help(self) -> str:
        """The help; values in it may be a stranger's."""
        return printable(super().format_help())

    def error(self, message: str) -> NoReturn:
        """Raises a ValueError, with the nearest of several choices."""
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        hint = nearest(wrong[1], re.findall(r"[\w-]+", wrong[2])) if wrong else ""
        raise ValueError(f"{message}.{hint}")


def parser(knobs: flags.Knobs = NO_KNOBS) -> Parser:
    """The commands and their ordinary arguments; help shows these knobs, too."""
    top = Parser(
        prog="ple-jax",
        description="Trains multi-task and multi-domain recommender models in JAX.",
        epilog="`ple-jax COMMAND --help` says what a command takes.",
    )
    top.add_argument("--version", action="version", version=f"ple-jax {__version__}")
    places = top.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True
    )
    for name, command in commands().items():
        about = command.__doc__ or ""
        new = places.add_parser(
            name,
            help=about.partition("\n")[0],
            description=filled(about),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
        )
        command.add_arguments(new)
        about = "import this module if the experiment or the run names it as a plugin"
        new.add_argument("--plugin", action=Allow, metavar="MODULE", help=about)
        new.add_argument("-h", "--help", action=Help, command=command, knobs=knobs)
        new.takes_knobs = hasattr(command, "tree_of")
        if new.takes_knobs:
            usage = new.format_usage().rstrip()
            indent = " " * len(f"usage: {new.prog} ")
            new.usage = f"{usage}\n{indent}[--SECTION.KNOB VALUE ...]"[len("usage: ") :]
        top.commands.append(new)
    return top


class Allow(argparse.Action):
    """Allows a plugin's module, of Python's path or the working directory."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Allows it, and notes its name."""
        plugins.allow(values, os.getcwd())
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or ()), values])


class Help(argparse.Action):
    """Prints a command's help, with the knobs of the experiment that it names."""

    def __init__(self, command: ModuleType, knobs: flags.Knobs, **options: Any):
        super().__init__(nargs=0, help="show this help", **options)
        self.command, self.knobs = command, knobs

    def __call__(self, parser, namespace, values, option_string=None):
        """Prints, and ends the process."""
        if parser.takes_knobs:
            tree = self.command.tree_of(namespace)
            for section in flags.described(tree, self.knobs):
                parser.add_knobs(*section)
        parser.print_help()
        parser.exit()


def filled(text: str) -> str:
    """Paragraphs as wide as the terminal; what is indented stays as it is."""
    width = shutil.get_terminal_size().columns - 2
    parts = text.strip().split("\n\n")
    wrap = lambda part: part if part.startswith(" ") else textwrap.fill(part, width)
    return "\n\n".join(map(wrap, parts))
