"""Finds a plugin by its file name: `models/ple.py` is the model "ple"."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType


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
