"""Finds a plugin by its file name: `models/ple.py` is the model "ple"."""

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
import re
import textwrap
import typing
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from ple_jax.traced import known


def available(package: str) -> list[str]:
    """Names of the plugins in `package`; a leading underscore hides a file."""
    path = importlib.import_module(package).__path__
    names = (module.name for module in pkgutil.iter_modules(path))
    return sorted(name for name in names if not name.startswith("_"))


def find(package: str, name: str) -> ModuleType:
    """The plugin's module; a dotted `name` is a module outside `package`."""
    if "." in name:
        return importlib.import_module(name)
    check_known(name, available(package), f"{package.removeprefix('ple_jax.')} plugin")
    return importlib.import_module(f"{package}.{name}")


def check_known(name: str, known: Iterable[str], what: str) -> None:
    """Raises a ValueError that names the nearest known name and lists them all."""
    known = list(known)
    if name not in known:
        raise ValueError(
            f"{name!r} is not a known {what}.{nearest(name, known)} "
            f"Known: {', '.join(known)}."
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' for the closest of `known`, or nothing."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def at_least(least: float, section: str = "", /, **values: float) -> None:
    """Raises a ValueError for an option, of a section, that is below `least` or NaN."""
    for name, value in _paths(section, values):
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")


def rate(section: str = "", /, **values: float) -> None:
    """Raises a ValueError for a chance, of a section, that is outside [0, 1)."""
    for name, value in _paths(section, values):
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}.")


def _paths(section: str, values: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    named = known(values).items()
    return ((f"{section}.{k}" if section else k, v) for k, v in named)


class Option(NamedTuple):
    """One knob of a plugin."""

    type: Any
    default: Any  # meaningless where required
    required: bool
    help: str


def options_of(build: Callable[..., Any]) -> dict[str, Option]:
    """The knobs of a plugin: the fields of a module class, or a function's arguments.

    The help of each comes from the `Attributes:` or `Args:` section of the docstring.
    """
    explained = explanations(inspect.getdoc(build) or "")
    hints = typing.get_type_hints(build)
    return {
        name: Option(hints.get(name, Any), default, required, explained.get(name, ""))
        for name, default, required in _knobs(build)
    }


def _knobs(build: Callable[..., Any]) -> Iterable[tuple[str, Any, bool]]:
    if dataclasses.is_dataclass(build):
        for field in dataclasses.fields(build):
            # linen modules have these two of their own
            if field.name not in ("parent", "name"):
                make = field.default_factory
                default = field.default if make is dataclasses.MISSING else make()
                yield field.name, default, default is dataclasses.MISSING
        return
    for name, argument in inspect.signature(build).parameters.items():
        if argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            yield name, argument.default, argument.default is argument.empty


def explanations(doc: str) -> dict[str, str]:
    """Name -> text of the entries below `Attributes:` or `Args:` in a docstring."""
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
