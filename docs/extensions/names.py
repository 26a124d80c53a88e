"""The public names of the package, and whether each has its place in the reference.

A name is public if neither it nor its module has a leading underscore.
"""

import ast
import pathlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGE = pathlib.Path(__file__).parents[2] / "ple_jax"
Definition = ast.FunctionDef | ast.ClassDef


def modules(package: pathlib.Path = PACKAGE) -> Iterator[tuple[str, pathlib.Path]]:
    """Dotted name and file of each public module, packages themselves included."""
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            yield ".".join(parts), file


def own_names(file: pathlib.Path) -> Iterator[tuple[str, ast.stmt]]:
    """What a module defines in public, in its order; imports are another's."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        for name in _defined(node):
            if not name.startswith("_"):
                yield name, node


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, Definition):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def public(package: pathlib.Path = PACKAGE) -> Iterator[str]:
    """Dotted names of all that is public: modules, what they define, and methods."""
    for module, file in modules(package):
        yield module
        for name, node in own_names(file):
            yield f"{module}.{name}"
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.FunctionDef) and part.name[0] != "_":
                        yield f"{module}.{name}.{part.name}"


def missing(names: Iterable[str], documented: Iterable[str]) -> list[str]:
    """The names that the reference does not have."""
    return sorted(set(names) - set(documented))


def _check(app: "Sphinx", env) -> None:
    from sphinx.util import logging

    documented = env.domains["py"].objects
    for name in missing(public(), documented):
        logging.getLogger(__name__).warning("%s is public and has no page", name)


def setup(app: "Sphinx") -> dict[str, bool]:
    """A public name without a page is a warning, so an error of a strict build."""
    app.connect("env-check-consistency", _check)
    return {"parallel_read_safe": True}
