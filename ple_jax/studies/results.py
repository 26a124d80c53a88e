"""The results of a study: written for people and programs, read, and checked again."""

import csv
import datetime
import io
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ple_jax.config import toml_value
from ple_jax.config.study import Plan
from ple_jax.disk import replace_file
from ple_jax.metrics.paired import HEADLINES
from ple_jax.metrics.spread import spread
from ple_jax.parallel import machine
from ple_jax.show import findings as shown
from ple_jax.show.escape import one_line
from ple_jax.show.grid import Grid
from ple_jax.studies.findings import Difference, Row

NUMBERS, PAGE, KNOBS = "results.csv", "results.md", "knobs.toml"
Knobs = Mapping[str, Any]  # dotted path -> value
COLUMNS = ("seed", "split", "domain", "task", "metric", "value")


def write(
    folder: pathlib.Path,
    plan: Plan,
    rows: Sequence[Row],
    differences: Sequence[Difference],
    facts: Iterable[str],
    knobs: Mapping[str, Knobs],
) -> None:
    """Writes results.csv and results.md into a folder, and knobs.toml of a search."""
    texts = {
        NUMBERS: as_csv(plan.axes, rows),
        PAGE: page(plan, rows, differences, facts),
    }
    if knobs:
        texts[KNOBS] = as_toml(knobs)
    for name, text in texts.items():
        with replace_file(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


def as_csv(axes: Sequence[str], rows: Iterable[Row]) -> str:
    """A line a number, its cell's choices first; what is undefined is empty."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow([*axes, *COLUMNS])
    for row in rows:
        value = "" if row.value is None else repr(row.value)
        out.writerow([*row.cell, *row[1:-1], value])
    return text.getvalue()


def as_toml(knobs: Mapping[str, Knobs]) -> str:
    """A table a cell, with its knobs by dotted path."""
    lines = ["# Knobs that each cell was trained with, where study.toml has others."]
    for cell, values in knobs.items():
        lines += ["", f"[{toml_value(cell)}]"]
        lines += [f"{toml_value(k)} = {toml_value(v)}" for k, v in values.items()]
    return "\n".join([*lines, ""])


def read(path: pathlib.Path) -> list[Row]:
    """The rows of a results.csv.

    Raises:
        ValueError: It is not there, or not as `write` writes it.
    """
    if not path.is_file():
        raise ValueError(f"There are no results {str(path)!r} to compare with.")
    with path.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    if tuple(header[-len(COLUMNS) :]) != COLUMNS:
        raise ValueError(f"{path} must end in the columns {', '.join(COLUMNS)}.")
    return [_row(path, number, line) for number, line in enumerate(lines, 2)]


def _row(path: pathlib.Path, number: int, line: Sequence[str]) -> Row:
    try:
        *cell, seed, split, domain, task, metric, value = line
        found = float(value) if value else None
        return Row(tuple(cell), int(seed), split, domain, task, metric, found)
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}.") from error


def page(
    plan: Plan,
    rows: Sequence[Row],
    differences: Sequence[Difference],
    facts: Iterable[str],
) -> str:
    """The findings as Markdown: sentences first, then tables."""
    parts = [f"# {one_line(plan.asked.title)}", *facts]
    parts += ["\n".join(f"- {line}" for line in verdicts(plan, differences))]
    parts += [grid.markdown().strip() for grid in grids(plan, rows, differences)]
    return "\n\n".join(filter(None, parts)) + "\n"


def facts_of(command: str, seconds: float) -> list[str]:
    """What a reader must know to make the results again."""
    today = datetime.date.today().isoformat()
    return [f"`{command}`, {today}, {machine.sentence()}; {seconds / 60:.0f} min."]


def verdicts(plan: Plan, differences: Sequence[Difference]) -> list[str]:
    """For each choice, how often it is ahead of the reference, and how often behind."""
    each: dict[str, list[Difference]] = {}
    for one in differences:
        each.setdefault(one.choice, []).append(one)
    return [_verdict(c, plan.asked.reference, found) for c, found in each.items()]


def _verdict(choice: str, reference: str, found: Sequence[Difference]) -> str:
    ahead, behind = ([d for d in found if d.sign == sign] for sign in (1, -1))
    named = lambda some: f" ({'; '.join(map(_spelled, some))})" if some else ""
    return (
        f"{choice} beside {reference}, of {len(found)} comparisons: ahead in "
        f"{len(ahead)}{named(ahead)}, behind in {len(behind)}{named(behind)}, no "
        f"difference shown in {len(found) - len(ahead) - len(behind)}."
    )


def _spelled(one: Difference) -> str:
    where = ", ".join([*one.beside, one.task])
    return f"{where} by {abs(one.found['mean']):.4f}"


def grids(
    plan: Plan, rows: Sequence[Row], differences: Sequence[Difference]
) -> list[Grid]:
    """Headlines on the last split, the differences, and the headlines by domain."""
    split = "test" if any(row.split == "test" for row in rows) else "validation"
    known = [row for row in rows if row.split == split]
    front = [row for row in known if row.metric in HEADLINES.values()]
    axes = tuple(axis for axis in plan.axes if axis != plan.asked.compare)
    signs = {((*d.beside, d.task), d.choice): d.sign for d in differences}
    whole, parts = ([r for r in front if bool(r.domain) == by] for by in (False, True))
    title = f"{' and '.join(dict.fromkeys(r.metric for r in front))} on {split}"
    found = [_score_table(title, plan, (*axes, "task"), whole, signs)]
    if differences:
        listed = [
            ((*d.beside, d.task, d.choice), {**d.found, "p_adjusted": d.p})
            for d in differences
        ]
        found.append(shown.difference_table(plan.asked.reference, axes, listed))
    if parts:
        names = (*axes, "domain", "task")
        found.append(_score_table(f"{title} by domain", plan, names, parts, {}))
    return found


def _score_table(
    title: str,
    plan: Plan,
    names: Sequence[str],
    rows: Iterable[Row],
    signs: Mapping[tuple[tuple[str, ...], str], int],
) -> Grid:
    place, values = plan.axes.index(plan.asked.compare), dict[Any, Any]()
    for row in rows:
        beside = (*row.cell[:place], *row.cell[place + 1 :])
        name = (*beside, *filter(None, (row.domain, row.task)))
        values.setdefault(name, {}).setdefault(row.cell[place], []).append(row.value)
    spreads = {n: {c: spread(v) for c, v in of.items()} for n, of in values.items()}
    choices = dict.fromkeys(cell.choices[plan.asked.compare] for cell in plan.cells)
    return shown.score_table(title, names, list(choices), spreads, signs)
