"""The tables of one split: what is measured by task, and by domain."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ple_jax.checks import check_known
from ple_jax.show.grid import Grid
from ple_jax.tasks import HEADLINES

Metrics = Mapping[str, Any]  # metric -> value; or its spread, in a study
Tasks = Mapping[str, Metrics]

ORDER = (  # of columns; others follow
    "auc_pr",
    "grouped_auc",
    "log_loss",
    "normalised_entropy",
    "calibration",
    "calibration_error",
    "rmse",
    "mse",
    "huber",
    "coverage_gap",
    "positives",
    "examples",
)
SHORT = {
    "normalised_entropy": "NE",
    "calibration_error": "ECE",
    "calibration": "calib.",
}
WHEN = ("before", "after")
LARGEST = 8  # domains shown where there are more than `MOST`
MOST = 24


@dataclasses.dataclass(frozen=True)
class View:
    """What of a result to show.

    Attributes:
        metric: The metric in front, and of domains; by default each task's headline.
        by_domain: Whether to show all domains, however many there are.
    """

    metric: str | None = None
    by_domain: bool = False

    def of(self, metrics: Metrics) -> str:
        """The metric of a task to show."""
        return headline(metrics) if self.metric is None else self.metric

    def tasks(self, tasks: Tasks) -> dict[str, str]:
        """Task -> its metric to show; leaves out tasks that do not have it.

        Raises:
            ValueError: No task has the metric; names the nearest.
        """
        if self.metric is not None:
            pairs = [pair for metrics in tasks.values() for pair in metrics.items()]
            known = [name for name, value in pairs if not isinstance(value, int)]
            check_known(self.metric, dict.fromkeys(known), "metric")
        found = {task: self.of(metrics) for task, metrics in tasks.items()}
        return {task: name for task, name in found.items() if name in tasks[task]}


ALL = View()


def headline(measured: Metrics) -> str:
    """The metric of a task to show if there is room for one only."""
    return next((name for name in HEADLINES if name in measured), "rmse")


def number(value: Any) -> str:
    """A value, or a spread as mean and standard deviation."""
    if isinstance(value, Mapping):
        deviation = value["standard_deviation"]
        beside = "" if deviation is None else f" ± {deviation:.4f}"
        return number(value["mean"]) + beside
    if value is None:
        return "undefined"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def ends(interval: Sequence[float] | None) -> str:
    """An interval, by its ends."""
    return "" if interval is None else "\N{EN DASH}".join(map(number, interval))


def of_split(split: str, measured: Mapping[str, Any], view: View = ALL) -> list[Grid]:
    """The tables of one split: by task, and by domain if there are several."""
    grids = [metric_table(split, measured["tasks"], measured.get("intervals"), view)]
    if both := measured.get("joint"):
        grids.append(metric_table(f"{split}, over all examples", both))
    if before := measured.get("before"):
        grids.append(recalibration_table(split, before, measured["tasks"]))
    if len(measured["domains"]) > 1:
        shown, each = view.tasks(measured["tasks"]), measured["domains"]
        title = f"{split}{common(shown)} by domain"
        means = {
            "all": measured["tasks"],
            "macro mean": measured.get("macro"),
            "worst": measured.get("worst"),
        }
        worst = measured.get("worst_domain", {})
        grids.append(domain_table(title, shown, each, sizes(each), means, worst, view))
    return grids


def recalibration_table(split: str, before: Tasks, after: Tasks) -> Grid:
    """The calibration of each task without recalibration, and with it."""
    names = list(next(iter(before.values())))
    rows = [
        [task, *(number(of[task][name]) for name in names for of in (before, after))]
        for task in before
    ]
    heads = [f"{SHORT.get(name, name)} {when}" for name in names for when in WHEN]
    note = "Recalibration is fitted on validation."
    return Grid(f"{split}, recalibration", ["task", *heads], rows, note)


def front_table(
    title: str,
    tasks: Tasks,
    intervals: Mapping[str, Any] | None = None,
    view: View = ALL,
) -> Grid:
    """One row a task: one metric, with its interval if that is known."""
    shown = view.tasks(tasks)
    first = list(dict.fromkeys(shown.values()))
    rows = [
        [t, *(number(m[k]) if k in m else "" for k in first)] for t, m in tasks.items()
    ]
    if not intervals:
        return Grid(title, ["task", *first], rows, short=SHORT)
    over = f"95 % over {intervals['over']}"
    for row in rows:
        row.append(over_rows(intervals, row[0], shown.get(row[0], "")))
    note = f"{over}: {redrawn(title, intervals)}."
    return Grid(title, ["task", *first, over], rows, note, short=SHORT)


def metric_table(
    title: str,
    tasks: Tasks,
    intervals: Mapping[str, Any] | None = None,
    view: View = ALL,
) -> Grid:
    """One row a task: the metric in front, and then all others."""
    front = front_table(title, tasks, intervals, view)
    others = in_order(tasks.values(), front.columns)
    rows = [[*row, *cells(tasks[row[0]], others)] for row in front.rows]
    return dataclasses.replace(front, columns=[*front.columns, *others], rows=rows)


def cells(metrics: Metrics, names: Iterable[str]) -> list[str]:
    """A cell for each metric; empty where a task does not have it."""
    return [number(metrics[name]) if name in metrics else "" for name in names]


def in_order(each: Iterable[Metrics], front: Iterable[str]) -> list[str]:
    """All metrics but those in front, in the order of columns."""
    rest = {name for metrics in each for name in metrics} - {*front}
    return sorted(rest, key=lambda k: (ORDER.index(k) if k in ORDER else len(ORDER), k))


def over_rows(intervals: Mapping[str, Any], task: str, name: str) -> str:
    """The interval of a task's metric on another draw of users or examples."""
    found = intervals["tasks"][task].get(name, {})
    return ends(found.get("interval"))


def redrawn(split: str, intervals: Mapping[str, Any]) -> str:
    """What the intervals are over, in words."""
    return (
        f"on another draw of the {intervals['number']:,} {intervals['over']} of {split}"
    )


def common(shown: Mapping[str, str]) -> str:
    """' METRIC' if all tasks show the same, or ''."""
    names = set(shown.values())
    return f" {names.pop()}" if len(names) == 1 else ""


def sizes(domains: Mapping[str, Tasks]) -> dict[str, int]:
    """Domain -> its examples: those of the task that has the most."""
    counted = lambda tasks: [m.get("examples", 0) for m in tasks.values()]
    return {name: max(counted(tasks), default=0) for name, tasks in domains.items()}


def domain_table(
    title: str,
    shown: Mapping[str, str],
    each: Mapping[str, Tasks],
    examples: Mapping[str, int],
    means: Mapping[str, Tasks | None],
    worst: Mapping[str, Mapping[str, str | None]],
    view: View = ALL,
    note: str = "",
) -> Grid:
    """One row a domain, one column a task; then all, their mean, and the worst.

    Args:
        title: What it shows.
        shown: Task -> its metric to show.
        each: Domain -> task -> metric -> value.
        examples: Domain -> its examples.
        means: Name of a last row -> task -> metric -> value.
        worst: Task -> metric -> the worst domain.
        view: Whether all domains are wanted.
        note: What else to say below.
    """
    alike = common(shown)
    columns = [t if alike else f"{t} {name}" for t, name in shown.items()]
    lowest = [worst[t][name] for t, name in shown.items() if t in worst]
    names = list(each) if view.by_domain else chosen(examples, lowest)
    of = lambda tasks: [number(tasks[t][n]) for t, n in shown.items()]
    rows = [[k, f"{examples[k]:,}", *of(each[k])] for k in names]
    rows += [[k, "", *of(tasks)] for k, tasks in means.items() if tasks]
    if len(names) < len(each):
        note = (
            f"{len(names)} of {len(each)} domains: the {LARGEST} largest, and each "
            f"task's worst; --by-domain shows all. {note}"
        ).strip()
    return Grid(title, ["domain", "examples", *columns], rows, note)


def chosen(examples: Mapping[str, int], worst: Iterable[str | None]) -> list[str]:
    """All domains if they are few; else the largest, and some that are the worst."""
    if len(examples) <= MOST:
        return list(examples)
    by_size = sorted(examples, key=lambda name: -examples[name])
    return list(dict.fromkeys([*by_size[:LARGEST], *filter(None, worst)]))
