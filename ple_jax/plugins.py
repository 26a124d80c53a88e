"""Finds a plugin by its file name: `models/ple.py` is the model "ple"."""

import dataclasses
import functools
import importlib
import inspect
import pathlib
import re
import textwrap
import typing
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NamedTuple

from ple_jax.checks import check_known


def available(package: str) -> list[str]:
    """Names of the plugins in `package`: its files that define `build`."""
    folder = pathlib.Path(next(iter(importlib.import_module(package).__path__)))
    files = [f for f in folder.glob("*.py") if not f.name.startswith("_")]
    return sorted(file.stem for file in files if _defines_build(file))


def _defines_build(file: pathlib.Path) -> bool:
    """Looks at the text, since importing a plugin may import JAX."""
    text = file.read_text(encoding="utf-8")
    return bool(re.search(r"^(def build\(|build = )", text, re.MULTILINE))


def find(package: str, name: str) -> ModuleType:
    """The plugin's module; a dotted `name` is a module outside `package`."""
    if "." in name:
        return importlib.import_module(name)
    check_known(name, available(package), f"{package.removeprefix('ple_jax.')} plugin")
    return importlib.import_module(f"{package}.{name}")


class Option(NamedTuple):
    """One option of a plugin."""

    type: Any
    default: Any  # meaningless where required
    required: bool
    help: str


def options_of(build: Callable[..., Any]) -> dict[str, Option]:
    """The options of a plugin: the fields of a dataclass, or a function's arguments.

    Arguments that a `functools.partial` fixes are not options. The help comes from the
    `Attributes:` or `Args:` section of the docstring. A class inherits its bases' help,
    and its own options come before theirs.
    """
    made, fixed = unwrap(build), getattr(build, "keywords", {})
    lineage: tuple[Any, ...] = (
        inspect.getmro(made) if inspect.isclass(made) else (made,)
    )
    explained: dict[str, str] = {}
    distance: dict[str, int] = {}
    for steps, part in reversed([*enumerate(lineage)]):
        explained |= explanations(inspect.cleandoc(part.__doc__ or ""))
        distance |= dict.fromkeys(inspect.get_annotations(part), steps)
    hints = typing.get_type_hints(made)
    arguments = sorted(_arguments(made), key=lambda each: distance.get(each[0], 0))
    return {
        name: Option(hints.get(name, Any), default, required, explained.get(name, ""))
        for name, default, required in arguments
        if name not in fixed
    }


def unwrap(build: Callable[..., Any]) -> Callable[..., Any]:
    """The class or function that a `functools.partial` calls, or `build` itself."""
    return build.func if isinstance(build, functools.partial) else build


def _arguments(made: Callable[..., Any]) -> Iterable[tuple[str, Any, bool]]:
    """The name and default of each argument, and whether it is required."""
    if dataclasses.is_dataclass(made):
        for field in dataclasses.fields(made):
            # every linen module has these two
            if field.name not in ("parent", "name"):
                make = field.default_factory
                default = field.default if make is dataclasses.MISSING else make()
                yield field.name, default, default is dataclasses.MISSING
        return
    for name, argument in inspect.signature(made).parameters.items():
        if argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            yield name, argument.default, argument.default is argument.empty


def explanations(doc: str) -> dict[str, str]:
    """Maps names to texts: the `Attributes:` or `Args:` entries of a docstring."""
    section = re.search(
        r"^(?:Attributes|Args):\n((?:[ ]+.*\n?|\n)+)", doc, re.MULTILINE
    )
    if not section:
        return {}
    entries: dict[str, list[str]] = {}
    for line in textwrap.dedent(section[1]).splitlines():
        if entry := re.match(r"(\w+):\s*(.*)", line):
            entries[entry[1]] = [entry[2]]
        elif line.strip() and entries:
            entries[list(entries)[-1]].append(line.strip())
    return {name: " ".join(parts).strip() for name, parts in entries.items()}
