"""What a run prints: lines and tables for people."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ple_jax.show.escape import one_line
from ple_jax.show.grid import Grid, framed
from ple_jax.show.measured import headline, number


def epoch_line(
    epoch: str,
    loss: float | None,
    tasks: dict[str, dict[str, Any]],
    speed: float,
    improved: list[bool],
) -> str:
    """An epoch in one line: loss, each task's headline on validation, and speed.

    Args:
        epoch: Its number, and how many there are.
        loss: The mean over the trials that took part.
        tasks: Task -> metric -> its spread over these trials.
        speed: Examples a second of all of them.
        improved: Whether the epoch is a trial's best so far, for each of them.
    """
    names = {task: headline(metrics) for task, metrics in tasks.items()}
    means = {task: number(tasks[task][m]["mean"]) for task, m in names.items()}
    scores = [f"{one_line(t)} {m} {means[t]}" for t, m in names.items()]
    trials, best = "", "  best" if any(improved) else ""
    if len(improved) > 1:
        trials, best = f"  {len(improved)} trials", f"  best: {sum(improved)}"
    return (
        f"epoch {epoch}{trials}  loss {number(loss)}  "
        f"validation {'  '.join(scores)}  {speed:>9,.0f} examples/s{best}"
    )


def grid(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Grid:
    """A table whose first column is text and whose others are numbers."""
    return Grid(title, columns, rows)


def plain(text: str, style: str = "") -> Text:
    """A cell: names may hold what a terminal, or rich's markup, would obey."""
    return Text(one_line(text), style)


def _filled(table: Table, rows: Iterable[Iterable[str]]) -> Table:
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def prepared_table(prepared: Any, title: str = "") -> Grid:
    """Rows and base rates, or mean labels, by split of a data set, or of `title`."""
    tasks, spelled = prepared.layout.tasks, lambda t: _share if t.is_binary else number
    rows = [
        [
            name,
            f"{facts['rows']:,}",
            *(spelled(task)(facts["base_rates"][task.name]) for task in tasks),
        ]
        for name, facts in prepared.facts["splits"].items()
    ]
    names = [task.name for task in tasks]
    return grid(title or f"{prepared.directory}", ["split", "rows", *names], rows)


def _share(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2%}"


def model_table(models: dict[str, dict[str, Any]]) -> Table:
    """One row a model: what it is and its options."""
    rows = [[k, m["summary"], ", ".join(m["options"])] for k, m in models.items()]
    return prose("models", ["kind", "what it is", "options"], rows)


def dataset_tables(datasets: dict[str, dict[str, Any]]) -> list[Table]:
    """One table a data set: rows, base rates, sizes of domains, source and terms."""
    return [_dataset_table(name, facts) for name, facts in datasets.items()]


def _dataset_table(name: str, facts: dict[str, Any]) -> Table:
    unknown = "as in the files"
    rates = {k: v if v is None else _share(v) for k, v in facts["tasks"].items()}
    lines = {
        "rows": unknown if facts["rows"] is None else number(facts["rows"]),
        "tasks": _listed(rates) or unknown,
        "domains": _domains(facts["domains"]) or unknown,
        "source": facts["source"],
        "terms": facts["terms"] or "none",
    }
    title = Text.assemble(plain(name, "bold"), "  ", plain(facts["summary"]))
    table = Table(title=title, title_justify="left", title_style="", box=None)
    table.show_header = False
    table.add_column()
    table.add_column(width=80)
    _filled(table, lines.items())
    table.add_row()
    return table


def _domains(sizes: dict[str, int | None], most: int = 5) -> str:
    """All domains if they are few, otherwise their number, the largest and smallest."""
    known = {k: v for k, v in sizes.items() if v is not None}
    spelled = {k: f"({known[k]:,})" if k in known else None for k in sizes}
    if len(sizes) <= most or not known:
        return _listed(spelled)
    largest, smallest = (
        max(known, key=known.__getitem__),
        min(known, key=known.__getitem__),
    )
    return (
        f"{len(sizes)}: the largest is {largest} {spelled[largest]}, "
        f"the smallest {smallest} {spelled[smallest]}"
    )


def _listed(facts: dict[str, str | None]) -> str:
    return ", ".join(k if v is None else f"{k} {v}" for k, v in facts.items())


def prose(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A table of text."""
    table = framed(one_line(title))
    for column in columns:
        table.add_column(plain(column), overflow="fold")
    return _filled(table, rows)
