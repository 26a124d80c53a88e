"""Finds plugins: `models/ple.py` is the model "ple"; other packages name their own.

Another package offers a plugin by an entry point in the group of that folder's name:

    [project.entry-points."ple_jax.models"]
    tower = "acme.tower"

makes the module `acme.tower`, which defines `build`, the model "tower". A module that
nobody offers has to be allowed by its name, `allow("acme.tower")`: an experiment or a
recorded run, which may be a stranger's, never makes this package import one.
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import inspect
import pathlib
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any, NamedTuple

from ple_jax.checks import check_known, nearest

# Arguments of models that no experiment sets in [model].
GIVEN_TO_MODELS = ("num_tasks", "num_domains", "remat")
_allowed: set[str] = set()


class NotAllowed(ValueError):
    """A module is named as a plugin, and was not allowed.

    Attributes:
        module: Its dotted name.
    """

    def __init__(self, told: str, module: str):
        hint = nearest(module, _allowed)
        super().__init__(
            f"{told} is a module that was not allowed, so it is not imported.{hint} If "
            f"you trust its code, add --plugin {module}, or in Python "
            f"ple_jax.plugins.allow({module!r})."
        )
        self.module = module


class _Beside(NamedTuple):
    """Finds one package in a folder, once Python's path does not have it."""

    package: str
    folder: str

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """What `sys.meta_path` asks of its items."""
        return PathFinder.find_spec(name, [self.folder]) if name == self[0] else None


def allow(module: str, folder: str = "") -> None:
    """Lets experiments and recorded runs name this module as a plugin.

    It is imported only if one does, and its package only then.

    Args:
        module: Its dotted name, such as "acme.tower".
        folder: Where its package, `acme`, may lie besides Python's path.

    Raises:
        ValueError: This is no dotted name.
    """
    check_module(module)
    _allowed.add(module)
    beside = _Beside(module.partition(".")[0], folder)
    if folder and beside not in sys.meta_path:
        sys.meta_path.append(beside)


def check_module(name: str) -> None:
    """Raises a ValueError for what is not a module's dotted name."""
    if "." not in name or not all(map(str.isidentifier, name.split("."))):
        raise ValueError(
            f"{name!r} is not a module's dotted name, such as 'acme.tower', which is "
            "acme/tower.py."
        )


def available(package: str) -> list[str]:
    """Names of the plugins for `package`: its own, and those of other packages.

    Raises:
        ValueError: Two plugins have the same name.
    """
    offered = _offered(package)
    for name in _built_in(package):
        if name in offered:
            raise ValueError(
                f"{_told(package, offered[name])} has the name of a built-in one, "
                f"{package}.{name}. Rename its entry point, or uninstall its package."
            )
    return sorted([*_built_in(package), *offered])


def find(package: str, name: str) -> ModuleType:
    """The plugin's module; a dotted `name` is a module that was allowed.

    Raises:
        NotAllowed: The name is a module's, and was not allowed; nothing is imported.
        ValueError: There is no such plugin (with the nearest), it cannot be imported,
            or it does not define `build`.

    Example:
        >>> find("ple_jax.models", "star").build.__name__
        'STAR'
        >>> find("ple_jax.models", "sar")
        Traceback (most recent call last):
        ValueError: 'sar' is not a known model. Did you mean 'star'? ...
    """
    own, _, short = name.rpartition(".")
    if own in ("", package) and short in _built_in(package):
        return importlib.import_module(f"{package}.{short}")
    if "." in name:
        check_module(name)
        told = f"The {_noun(package)} {name!r}"
        if name not in _allowed:
            raise NotAllowed(told, name)
        return _imported(name, told)
    offered = _offered(package)
    check_known(name, [*_built_in(package), *offered], _noun(package))
    return _imported(offered[name].value, _told(package, offered[name]))


def _built_in(package: str) -> list[str]:
    """Files of the package that define `build`."""
    folder = pathlib.Path(next(iter(importlib.import_module(package).__path__)))
    files = [f for f in folder.glob("*.py") if not f.name.startswith("_")]
    return sorted(file.stem for file in files if _defines_build(file))


def _defines_build(file: pathlib.Path) -> bool:
    """Looks at the text, since importing a plugin may import JAX."""
    text = file.read_text(encoding="utf-8")
    return bool(re.search(r"^(def build\(|build = )", text, re.MULTILINE))


def _offered(package: str) -> dict[str, EntryPoint]:
    """What other packages offer, by name."""
    offered: dict[str, EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=package):
        first = offered.setdefault(point.name, point)
        if first != point:
            raise ValueError(
                f"{_told(package, first)} and {_told(package, point)} have the same "
                "name. Name one by its module, or uninstall its package."
            )
    return offered


def _told(package: str, point: EntryPoint) -> str:
    """An entry point in an error."""
    of = point.dist.name if point.dist else "an unknown package"
    return f"The {_noun(package)} {point.name!r} ({point.value}) of {of}"


def _noun(package: str) -> str:
    """What one plugin of a package is called: "model" of `ple_jax.models`."""
    name = package.rpartition(".")[2]
    return "data set" if name == "datasets" else name.removesuffix("s")


def _imported(module: str, told: str) -> ModuleType:
    try:
        plugin = importlib.import_module(module)
    except Exception as error:  # whatever a stranger's code does
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{told} cannot be imported: {why}.") from error
    if not hasattr(plugin, "build"):
        raise ValueError(f"{told} must define `build`, and does not.")
    return plugin


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
        fields = dataclasses.fields(made)
        is_module = any(field.name == "parent" for field in fields)
        for field in fields:
            # every linen module has these two
            if not is_module or field.name not in ("parent", "name"):
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
