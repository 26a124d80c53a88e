"""What a run prints: lines and tables for people."""

from collections.abc import Iterable
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from ple_jax.show.escape import one_line


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
    means = {task: _number(tasks[task][m]["mean"]) for task, m in names.items()}
    scores = [f"{one_line(t)} {m} {means[t]}" for t, m in names.items()]
    trials, best = "", "  best" if any(improved) else ""
    if len(improved) > 1:
        trials, best = f"  {len(improved)} trials", f"  best: {sum(improved)}"
    return (
        f"epoch {epoch}{trials}  loss {_number(loss)}  "
        f"validation {'  '.join(scores)}  {speed:>9,.0f} examples/s{best}"
    )


def headline(measured: dict[str, Any]) -> str:
    """The metric of a task to show if there is room for one only."""
    return "auc_roc" if "auc_roc" in measured else "rmse"


def _number(value: float | int | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def metric_table(title: str, tasks: dict[str, dict[str, Any]]) -> Table:
    """One row a task, one column a metric."""
    columns = list(dict.fromkeys(name for m in tasks.values() for name in m))
    rows = [
        [t, *(_number(m[c]) if c in m else "" for c in columns)]
        for t, m in tasks.items()
    ]
    return grid(title, ["task", *columns], rows)


def grid(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = _titled(title)
    for i, column in enumerate(columns):
        side: Literal["left", "right"] = "right" if i else "left"
        table.add_column(plain(column), justify=side, overflow="fold")
    return _filled(table, rows)


def plain(text: str, style: str = "") -> Text:
    """A cell: names may hold what a terminal, or rich's markup, would obey."""
    return Text(one_line(text), style)


def _titled(title: str) -> Table:
    return Table(title=plain(title, "table.title"), title_justify="left")


def _filled(table: Table, rows: Iterable[Iterable[str]]) -> Table:
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def held_out(result: dict[str, Any]) -> list[str]:
    """The splits that a final table measures: validation and, if there is one, test."""
    points = result.get("points")
    found = next(iter(points.values())) if points else result
    return [split for split in ("validation", "test") if split in found]


def trial_table(results: dict[str, dict[str, Any]]) -> Table:
    """One row a trial: its best epoch, and each task's headline on both splits."""
    measured = [r for r in results.values() if "validation" in r]
    splits = held_out(measured[0]) if measured else []
    tasks = measured[0]["validation"]["tasks"] if measured else {}
    columns = [(s, t, headline(m)) for s in splits for t, m in tasks.items()]
    rows = [
        [
            name,
            _number(r["epochs"]),
            _number(r["step"]) if r["step"] else "none",
            *(_number(r[s]["tasks"][t][m]) if s in r else "" for s, t, m in columns),
            f"diverged before step {r['diverged']:,}" if "diverged" in r else "",
        ]
        for name, r in results.items()
    ]
    titles = [f"{s} {m}/{t}" for s, t, m in columns]
    return grid("trials", ["trial", "epochs", "best step", *titles, ""], rows)


def point_table(split: str, points: dict[str, dict[str, Any]]) -> Table:
    """One row a point, task and metric: mean, spread, and confidence interval."""
    rows = [
        [
            point or "all",
            task,
            name,
            f"{m['trials']}",
            _number(m["mean"]),
            _number(m["standard_deviation"]),
            "" if m["interval"] is None else " to ".join(map(_number, m["interval"])),
        ]
        for point, splits in points.items()
        for task, metrics in splits[split].items()
        for name, m in metrics.items()
    ]
    columns = ["point", "task", "metric", "n", "mean", "deviation", "95 % interval"]
    return grid(f"{split}, over trials", columns, rows)


def prepared_table(prepared: Any, title: str = "") -> Table:
    """Rows and base rates of each split of a prepared data set, or of `title`."""
    tasks = [task.name for task in prepared.layout.tasks]
    rows = [
        [name, f"{facts['rows']:,}", *(_share(facts["base_rates"][t]) for t in tasks)]
        for name, facts in prepared.facts["splits"].items()
    ]
    return grid(title or f"{prepared.directory}", ["split", "rows", *tasks], rows)


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
        "rows": unknown if facts["rows"] is None else _number(facts["rows"]),
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
    table = _titled(title)
    for column in columns:
        table.add_column(plain(column), overflow="fold")
    return _filled(table, rows)
