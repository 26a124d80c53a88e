"""Advice for people: tables, and sentences, on a terminal or as Markdown."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ple_jax.analysis.advice import Advice
from ple_jax.analysis.card import Card
from ple_jax.metrics.spread import spread

MOST_DOMAINS = 20


class Grid(NamedTuple):
    """A table: its title, its columns, and rows of as many texts."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def grids(advice: Advice) -> list[Grid]:
    """All tables, from the data to the models."""
    made = advice.card
    each = [splits_grid(made), fields_grid(made)]
    if made["domains"]:
        each.insert(1, domains_grid(made))
    return [*each, models_grid(advice), test_grid(advice)]


def splits_grid(made: Card) -> Grid:
    """Rows of each split, and each task's rate or mean."""
    rows = [
        [s, f"{n:,}", *(_mean(made["tasks"][t][s]) for t in made["tasks"])]
        for s, n in made["splits"].items()
    ]
    return Grid("splits", ["split", "rows", *made["tasks"]], rows)


def _mean(facts: dict) -> str:
    if facts["mean"] is None:
        return "undefined"
    if "positives" in facts:
        return f"{facts['mean']:.2%} of {facts['examples']:,}"
    return f"{facts['mean']:.4g} of {facts['examples']:,}"


def domains_grid(made: Card) -> Grid:
    """Examples of train and each task's mean label there, by domain; the largest."""
    tasks, domains = made["tasks"], made["domains"]
    size = lambda d: -max(f["train"]["examples"] for f in domains[d].values())
    names = sorted(domains, key=size)[:MOST_DOMAINS]
    rows = [[d, *(_mean(domains[d][t]["train"]) for t in tasks)] for d in names]
    left = len(domains) - len(names)
    title = "domains, train" + (f" ({left} more in advice.json)" if left else "")
    return Grid(title, ["domain", *tasks], rows)


def fields_grid(made: Card) -> Grid:
    """Each field: values, missing and unseen ones, drift, and its best AUC alone."""
    rows = []
    for name, facts in made["fields"].items():
        last = list(facts["drift"])[-1]
        areas = [a for a in facts["alone"].values() if a is not None]
        rows.append(
            [
                name,
                facts["kind"],
                f"{facts['values']:,}",
                _share(facts["missing"]["train"]),
                _share(facts["unseen"][last]),
                f"{facts['drift'][last]:.3f}",
                f"{max(areas):.4f}" if areas else "",
            ]
        )
    columns = ["field", "kind", "values", "missing", "unseen", "drift", "AUC alone"]
    return Grid("fields: what train holds, and the last split", columns, rows)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def models_grid(advice: Advice) -> Grid:
    """What each model scores on validation: mean and deviation over seeds."""
    tasks = list(advice.card["tasks"])
    rows = [
        [
            one.kind,
            *(_score(one.scores.get(task, [])) for task in tasks),
            ", ".join(map(str, one.epochs)),
            f"{one.seconds:.0f}",
        ]
        for one in advice.compared
    ]
    titles = [f"{task} ({metric_of(advice, task)})" for task in tasks]
    columns = ["model", *titles, "best epochs", "seconds"]
    return Grid("validation: mean (deviation over seeds)", columns, rows)


def test_grid(advice: Advice) -> Grid:
    """What the recommended model scores on test."""
    kind = advice.recommended.kind
    one = next(c for c in advice.compared if c.kind == kind)
    scores = [_score(values) for values in one.test.values()]
    columns = ["model", *(f"{t} ({metric_of(advice, t)})" for t in one.test)]
    return Grid("test, read for it alone", columns, [[kind, *scores]])


def _score(values: list[float | None]) -> str:
    found = spread(values)
    if found["mean"] is None:
        return "undefined"
    deviation = found["standard_deviation"]
    return f"{found['mean']:.4f}" + ("" if deviation is None else f" ({deviation:.4f})")


def metric_of(advice: Advice, task: str) -> str:
    """The metric in which a task is compared."""
    splits = advice.card["tasks"][task].values()
    return "AUC" if any("positives" in facts for facts in splits) else "RMSE"


def sentences(advice: Advice) -> Iterator[tuple[str, Iterable[str]]]:
    """Titles, and what is said under each."""
    yield "Look at first", advice.card["warnings"] or ["Nothing stands out."]
    yield f"Go on with `{advice.recommended.kind}`", advice.recommended.reasons
    if advice.cuts:
        yield "Cut for the time", advice.cuts


def markdown(advice: Advice, title: str) -> str:
    """The whole report as Markdown."""
    parts = [f"# {title}"]
    for heading, lines in sentences(advice):
        parts.append(f"## {heading}\n\n" + "\n".join(f"- {line}" for line in lines))
    parts += [
        f"## {grid.title.capitalize()}\n\n{_table(grid)}" for grid in grids(advice)
    ]
    return "\n\n".join(parts) + "\n"


def _table(grid: Grid) -> str:
    lines = [grid.columns, ["---"] * len(grid.columns), *grid.rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
