"""Writes the reference, one page a module, and one page a model."""

import ast
import inspect
import pathlib
from collections.abc import Sequence
from typing import Any

import docstrings
import names
import pictures
from sphinx.application import Sphinx

from ple_jax import models, plugins

HERE = pathlib.Path(__file__).parents[1]


def title(text: str, line: str = "=") -> list[str]:
    """A heading."""
    return [text, line * len(text), ""]


def module_page(module: str, file: pathlib.Path) -> str:
    """The reference of a module, in the order of its source."""
    lines = [*title(module), f".. automodule:: {module}", ""]
    source = file.read_text(encoding="utf-8").splitlines()
    for name, node in names.own_names(file):
        lines += _entry(f"{module}.{name}", node, source)
    return "\n".join(lines)


def _entry(name: str, node: ast.stmt, source: Sequence[str]) -> list[str]:
    if isinstance(node, ast.ClassDef):
        options = ["   :members:", "   :special-members: __call__"]
        # scikit-learn gives its estimators these, with references to its own pages.
        options.append("   :exclude-members: set_fit_request, set_score_request")
        return [f".. autoclass:: {name}", *options, ""]
    if isinstance(node, ast.FunctionDef):
        return [f".. autofunction:: {name}", ""]
    module, _, short = name.rpartition(".")
    head = [f".. py:data:: {short}", f"   :module: {module}", ""]
    return [*head, *_constant(node, source), ""]


def _constant(node: ast.stmt, source: Sequence[str]) -> list[str]:
    """A constant's comment, above it or behind it, and how it is written."""
    first = node.lineno - 1
    above = first
    while above and source[above - 1].startswith("#"):
        above -= 1
    said = [line.lstrip("# ") for line in source[above:first]]
    said += [part.strip() for part in source[first].split("  # ")[1:]]
    code = source[first : node.end_lineno]
    shown = code if len(code) <= 12 else [*code[:12], "..."]
    body = [f"   {docstrings.escaped(line)}" for line in said]
    block = [".. code-block:: python", "", *(f"   {line}" for line in shown)]
    return [*body, "", *(f"   {line}" for line in block)]


def model_page(kind: str) -> str:
    """A model: what it is, its picture and equations, its options, its source."""
    build = plugins.unwrap(plugins.find(models.__name__, kind).build)
    name = build.__name__ if inspect.isclass(build) else "build"
    lines = [f".. _model-{kind}:", "", *title(f"``{kind}``")]
    (summary, *before), after = _described(build)
    lines += [docstrings.escaped(summary), ""]
    if picture := pictures.of_model(kind):
        file = pictures.write(f"model_{kind}", picture)
        lines += [".. raw:: html", f"   :file: {file}", ""]
    lines += [*docstrings.converted(before), "", *title("Options", "-")]
    lines += [*_options(kind), "", *docstrings.converted(after), ""]
    lines += [*title("Use", "-"), *_use(kind), ""]
    lines += [f"In the reference: :py:obj:`ple_jax.models.{kind}.{name}`.", ""]
    return "\n".join(lines)


def _described(build: Any) -> tuple[list[str], list[str]]:
    """A docstring before and after its options."""
    lines = (inspect.getdoc(build) or "").splitlines()
    starts = [i for i, line in enumerate(lines) if line in ("Attributes:", "Args:")]
    start = starts[0] if starts else len(lines)
    end = start + 1
    while end < len(lines) and (not lines[end] or lines[end].startswith(" ")):
        end += 1
    return lines[:start], lines[end:]


def _options(kind: str) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", "   :class: options", ""]
    rows = [("option", "default", "what it does")]
    described = models.describe(kind)["options"]
    for name, option in described.items():
        default = option["default"]
        shown = list(default) if isinstance(default, tuple) else default
        help = docstrings.escaped(option["help"])
        rows.append((f"``{name}``", f"``{shown!r}``", help))
    for row in rows:
        lines += [
            f"   {'-' if i else '* -'} {cell}".replace("   - ", "     - ", 1)
            for i, cell in enumerate(row)
        ]
    return lines


def _use(kind: str) -> list[str]:
    return [
        ".. code-block:: python",
        "",
        "   from ple_jax import models",
        "",
        f'   model = models.build("{kind}", num_tasks=2, num_domains=3)',
        "",
        ".. code-block:: bash",
        "",
        f"   ple-jax train experiments/synthetic_ple.toml --model.kind {kind}",
    ]


def rooms() -> dict[str, list[str]]:
    """Room -> its modules, in short; those that lie beside the rooms are under ''."""
    found: dict[str, list[str]] = {"": []}
    for module, file in names.modules():
        _, *inside = module.split(".")
        if file.name == "__init__.py":
            found.setdefault(".".join(inside), [])
        else:
            *room, short = inside
            found.setdefault(".".join(room), []).append(short)
    return found


def contents(entries: Sequence[str], caption: str = "") -> list[str]:
    """A list of pages."""
    head = [".. toctree::", "   :maxdepth: 1"]
    head += [f"   :caption: {caption}"] if caption else []
    return ["", *head, "", *(f"   {entry}" for entry in entries), ""]


def room_page(room: str, modules_of: Sequence[str], page: str) -> str:
    """The page of a room's own names, and the list of its modules."""
    listed = [f"{short} <ple_jax.{room}.{short}>" for short in modules_of]
    return page + "\n".join(contents(listed) if listed else [])


def reference_index() -> str:
    """The contents of the reference, by room."""
    found = rooms()
    beside = [f"{short} <ple_jax.{short}>" for short in found.pop("")]
    of_rooms = [f"{room} <ple_jax.{room}>" for room in found]
    lines = [".. _reference:", "", *title("API reference")]
    lines += [
        "Every public name of the package: names without a leading underscore, in",
        "modules without one. The letters of axes are in :py:mod:`ple_jax.types`.",
        "",
    ]
    lines += contents(of_rooms, "Rooms") + contents(beside, "Modules beside them")
    return "\n".join([*lines, ".. toctree::", "   :hidden:", "", "   ple_jax", ""])


def model_index(kinds: Sequence[str]) -> str:
    """The contents of the model pages."""
    lines = [".. _models:", "", *title("Models")]
    lines += ["One page a model, from its own docstring.", ""]
    lines += [".. list-table::", "   :header-rows: 1", "", "   * - kind", "     - what"]
    for kind in kinds:
        summary = docstrings.escaped(models.describe(kind)["summary"])
        lines += [f"   * - :ref:`{kind} <model-{kind}>`", f"     - {summary}"]
    lines += ["", ".. toctree::", "   :hidden:", ""]
    return "\n".join([*lines, *(f"   {kind}" for kind in kinds), ""])


def write(folder: pathlib.Path, pages: dict[str, str]) -> None:
    """Pages that changed are written, those that are no more are removed."""
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.rst"):
        if file.stem not in pages:
            file.unlink()
    for name, text in pages.items():
        file = folder / f"{name}.rst"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def generate(app: Sphinx | None = None) -> None:
    """All generated pages and pictures."""
    api = {module: module_page(module, file) for module, file in names.modules()}
    for room, modules_of in rooms().items():
        if room:
            name = f"ple_jax.{room}"
            api[name] = room_page(room, modules_of, api[name])
    write(HERE / "api", api | {"index": reference_index()})
    kinds = models.available()
    pages = {kind: model_page(kind) for kind in kinds}
    write(HERE / "models", pages | {"index": model_index(kinds)})
    pictures.concepts()


def setup(app: Sphinx) -> dict[str, bool]:
    """Before Sphinx looks for pages."""
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True}
