"""What a search for knobs prints."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from ple_jax.show.tables import Grid, grid, prose

SHOWN = 10  # of the best trials


def best_table(result: Mapping[str, Any]) -> Table:
    """One row a trial, the best first: its metric, and the knobs it was given."""
    trials = list(result["trials"].items())
    rows = [
        [
            number,
            number_of(row["metric"]),
            f"{row['epochs']}{' (ended early)' if row['pruned'] else ''}",
            spelled(row["values"]) or "as the experiment stands",
        ]
        for number, row in trials[:SHOWN]
    ]
    title = f"the best of {len(trials)} trials" if len(trials) > SHOWN else "trials"
    columns = ["trial", result["metric"], "epochs", "knobs"]
    return prose(f"{title}, by the half of validation that chooses", columns, rows)


def halves_table(result: Mapping[str, Any]) -> Grid:
    """The metric of the first and the best trial, on both halves of validation."""
    names = {"start": "as the experiment stands", "best": "the best"}
    rows = [
        [
            f"trial {result[which]['trial']}, {name}",
            *(number_of(result[which][half]) for half in ("validation", "estimate")),
        ]
        for which, name in names.items()
    ]
    columns = [result["metric"], "half that chooses", "half that does not"]
    return grid("how good it is", columns, rows)


def estimate_table(result: Mapping[str, Any]) -> Grid:
    """The best trial's metrics on the half that did not choose it, with intervals."""
    intervals = result["best"]["intervals"]
    rows = [
        [
            task,
            name,
            number_of(metrics[name]),
            " to ".join(map(number_of, found["interval"])) if found["interval"] else "",
        ]
        for task, metrics in result["best"]["tasks"].items()
        for name, found in intervals["tasks"][task].items()
    ]
    ends = f"{intervals['confidence']:.0%} interval over {intervals['over']}"
    return grid("the best, estimated", ["task", "metric", "value", ends], rows)


def spelled(values: Mapping[str, Any]) -> str:
    """A point in words: the last name of each knob, and its value, rounded."""
    short = lambda value: f"{value:.4g}" if isinstance(value, float) else f"{value}"
    return ", ".join(f"{k.rpartition('.')[2]} {short(v)}" for k, v in values.items())


def number_of(value: float | None) -> str:
    """A number in a cell; None is one that is not defined."""
    return "undefined" if value is None else f"{value:.4f}"
