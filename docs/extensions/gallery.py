"""Writes the gallery: what committed studies found, one page each, and who won where.

The numbers are those of each study's results.md, and the words those of its README.md.
"""

from __future__ import annotations  # Sphinx is there when it calls

import pathlib
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = pathlib.Path(__file__).parents[1]
STUDIES = HERE.parent / "experiments" / "studies"
SIGNIFICANCE = 0.05
INTRODUCTION = """# Gallery of studies

Does sharing help, where, by how much, and how sure are we? Each study trains its
choices side by side, with five seeds each, chosen on validation; test is read once. A
choice is **ahead** or **behind** where its difference from the reference on test is
more than chance: after Holm's correction for all comparisons of the study, over rows
and seeds together. With five seeds, small differences are not told from chance: then
*no difference is shown*, which does not say that there is none. Sizes are those that
one core trains in minutes. [Studies](../guides/studies.md) says how to make one.
"""


class Difference(NamedTuple):
    """A line of the table of differences."""

    where: str
    choice: str
    mean: str
    interval: str
    p: float | None

    @property
    def sign(self) -> int:
        """1 if it is ahead by more than chance, -1 if it is behind, otherwise 0."""
        if self.p is None or self.p >= SIGNIFICANCE:
            return 0
        return 1 if self.mean.startswith("+") else -1


def cells(line: str) -> list[str]:
    """The cells of a line of a table in Markdown."""
    inner = re.split(r"(?<!\\)\|", line.strip())[1:-1]
    return [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in inner]


def differences(text: str) -> list[Difference]:
    """The table `Ahead of REFERENCE` of a results.md."""
    found: list[Difference] = []
    _, _, rest = text.partition("\nAhead of ")
    for line in rest.splitlines()[1:]:
        if line.startswith("|"):
            *where, choice, mean, interval, p = cells(line)
            if mean[-1:].isdigit():
                chance = float(p.lstrip("< ")) if p[-1:].isdigit() else None
                beside = ", ".join(where)
                found.append(Difference(beside, choice, mean, interval, chance))
        elif found:
            break
    return found


def reference(text: str) -> str:
    """What the choices of a results.md are compared with."""
    found = re.search(r"^Ahead of (.*)$", text, re.M)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else ""


def summary(of: list[Difference]) -> list[str]:
    """A table in Markdown: how often each choice won and lost, and the widest gap."""
    lines = [
        "| choice | comparisons | ahead | behind | not shown | largest that is shown |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for choice in dict.fromkeys(one.choice for one in of):
        own = [one for one in of if one.choice == choice]
        count = lambda sign, own=own: sum(one.sign == sign for one in own)
        numbers = [len(own), count(1), count(-1), count(0)]
        row = [f"`{choice}`", *map(str, numbers), _largest(own)]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def glance(folders: list[pathlib.Path]) -> list[str]:
    """A table in Markdown: how many differences each study shows."""
    lines = [
        "| study | beside | comparisons | ahead | behind | not shown |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for folder in folders:
        text = (folder / "results.md").read_text(encoding="utf-8")
        of = differences(text)
        counts = [sum(one.sign == sign for one in of) for sign in (1, -1, 0)]
        first = f"[{folder.name}]({folder.name}.md)"
        row = [first, f"`{reference(text)}`", *map(str, (len(of), *counts))]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def _largest(own: list[Difference]) -> str:
    shown = [one for one in own if one.sign]
    if not shown:
        return ""
    most = max(shown, key=lambda one: abs(float(one.mean)))
    return f"{most.where}: {most.mean} ({most.interval})"


def page(folder: pathlib.Path) -> str:
    """A study: what was found, its figures, and its tables."""
    said = (folder / "README.md").read_text(encoding="utf-8")
    said = re.sub(r"^!\[.*\n?", "", said, flags=re.M).strip()
    parts = [said]
    for figure in sorted(folder.glob("*.svg")):
        place = f"../../experiments/studies/{folder.name}/{figure.name}"
        parts.append(f"```{{raw}} html\n:file: {place}\n```")
    results = (folder / "results.md").read_text(encoding="utf-8")
    _, _, tables = results.partition("\n")
    return "\n\n".join([*parts, "## Results", tables.strip()]) + "\n"


def title(folder: pathlib.Path) -> str:
    """The question of a study."""
    first = (folder / "results.md").read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("# ")


def index(folders: list[pathlib.Path]) -> str:
    """The gallery: who won where, a table a study."""
    parts = [INTRODUCTION, *glance(folders), ""]
    for folder in folders:
        text = (folder / "results.md").read_text(encoding="utf-8")
        parts += [f"## [{title(folder)}]({folder.name}.md)", ""]
        parts += [f"`{folder.name}`, each beside `{reference(text)}`:", ""]
        parts += [*summary(differences(text)), ""]
    names = [folder.name for folder in folders]
    return "\n".join([*parts, "```{toctree}", ":hidden:", "", *names, "```", ""])


def committed() -> list[pathlib.Path]:
    """The folders of studies with results."""
    return sorted(file.parent for file in STUDIES.glob("*/results.md"))


def generate(app: Sphinx | None = None) -> None:
    """All pages of the gallery."""
    folder = HERE / "studies"
    folder.mkdir(exist_ok=True)
    pages = {study.name: page(study) for study in committed()}
    pages["index"] = index(committed())
    for file in folder.glob("*.md"):
        if file.stem not in pages:
            file.unlink()
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Before Sphinx looks for pages."""
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True}
