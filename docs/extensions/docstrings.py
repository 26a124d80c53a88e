"""Turns the package's docstrings, which are plain text, into what Sphinx reads."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

import equations
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject

SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields|Examples?):\s*$")
NOTE = re.compile(r"^(Reference|Differs from the paper):\s*(.*)$")
SHAPED = re.compile(r"^\s*(\w+):[^#]*#\s*(.+)$")
RESULT = re.compile(r"^\s*\)?\s*->[^#]*:\s*#\s*(.+)$")


def converted(lines: Iterable[str]) -> list[str]:
    """A docstring with its equations as mathematics, its notes as paragraphs."""
    given, result, place = list(lines), [], 0
    section = False
    while place < len(given):
        line = given[place]
        if line.strip() and not line.startswith(" "):
            section = bool(SECTION.match(line))
        end = _block_end(given, place)
        if not section and end > place:
            result += _block(given[place:end])
            place = end
        elif note := NOTE.match(line):
            end = _note_end(given, place)
            result += _note(note, given[place + 1 : end])
            place = end
        else:
            result.append(line if is_example(line) else escaped(line))
            place += 1
    return result


def is_example(line: str) -> bool:
    """Whether a line is typed at a prompt."""
    return line.lstrip().startswith((">>>", "..."))


def escaped(text: str) -> str:
    """Signs that mean something to reStructuredText, outside backticks, as they are."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [
        re.sub(r"([*|])|(?<=\w)_(?!\w)", lambda m: "\\" + m[0], part)
        for part in parts[::2]
    ]
    return "".join(parts)


def _block_end(lines: list[str], start: int) -> int:
    """Past the indented block that starts here, or here where none does."""
    after_gap = start == 0 or not lines[start - 1].strip()
    if not (after_gap and lines[start].startswith("    ")):
        return start
    end = start
    while end < len(lines) and (lines[end].startswith("    ") or _in_gap(lines, end)):
        end += 1
    return end


def _in_gap(lines: list[str], at: int) -> bool:
    follows = at + 1 < len(lines) and lines[at + 1].startswith("    ")
    return not lines[at].strip() and follows


def _block(lines: list[str]) -> list[str]:
    text = "\n".join(lines)
    if equations.is_equation(text):
        kind, body = ".. math::", equations.latex(text).splitlines()
        body = [f"    {line}" for line in body]
    elif is_example(lines[0]):
        return [line[4:] for line in lines]
    else:
        kind, body = ".. code-block:: text", list(lines)
    return ["", kind, "", *body, ""]


def _note_end(lines: list[str], start: int) -> int:
    end = start + 1
    while end < len(lines) and lines[end].strip() and not NOTE.match(lines[end]):
        end += 1
    return end


def _note(note: re.Match[str], more: list[str]) -> list[str]:
    text = " ".join([note[2], *(line.strip() for line in more)])
    return ["", f"**{note[1]}:** {escaped(text)}", ""]


def shapes(function: Any) -> list[str]:
    """`x (B, D)` for each argument, and for the result, that states its shape."""
    try:
        source = inspect.getsource(inspect.unwrap(function))
    except (TypeError, OSError):
        return []
    head, found = re.split(r'\n\s+"""', source, maxsplit=1)[0], []
    for line in head.splitlines():
        if result := RESULT.match(line):
            found.append(f"returns {result[1]}")
        elif argument := SHAPED.match(line):
            found.append(f"``{argument[1]}`` {argument[2]}")
    return ["", f"*Shapes:* {escaped_shapes('; '.join(found))}.", ""] if found else []


def escaped_shapes(text: str) -> str:
    """As `escaped`, where double backticks stand."""
    parts = re.split(r"(``[^`]*``)", text)
    parts[::2] = [escaped(part) for part in parts[::2]]
    return "".join(parts)


def _docstring(app, what, name, obj, options, lines: list[str]) -> None:
    text = converted(lines)
    if what in ("property", "attribute"):
        text[:0] = ["..", ""]  # or napoleon takes what is before a colon for a type
    if what in ("function", "method"):
        text += shapes(obj)
    lines[:] = text


def _skip(app, what, name, obj, skip, options) -> bool | None:
    """Leaves out the fields of a NamedTuple, which its docstring explains."""
    alias = (getattr(obj, "__doc__", None) or "").startswith("Alias for field number")
    return True if alias else None


def _signature(app, what, name, obj, options, signature, returns):
    """Without the two fields that every linen module has, and without addresses."""
    if signature:
        signature = re.sub(r",? ?parent: .*?, name: .*?= None\)", ")", signature)
        signature = re.sub(r"<function (\w+) at 0x\w+>", r"\1", signature)
    return signature, returns


def setup(app: Sphinx) -> dict[str, bool]:
    """Runs before napoleon, which reads the sections."""
    app.setup_extension("sphinx.ext.autodoc")
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}
