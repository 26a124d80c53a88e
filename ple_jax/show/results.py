"""The tables of a final result, of a run or of a study."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ple_jax.show.grid import Grid
from ple_jax.show.measured import (
    ALL,
    SHORT,
    Tasks,
    View,
    cells,
    common,
    domain_table,
    ends,
    front_table,
    in_order,
    number,
    of_split,
    over_rows,
    redrawn,
    sizes,
)


def held_out(result: Mapping[str, Any]) -> list[str]:
    """The splits that a final table measures: validation and, if there is one, test."""
    points = result.get("points")
    found = next(iter(points.values())) if points else result
    return [split for split in ("validation", "test") if split in found]


OVER_SEEDS = (
    "±: deviation over seeds. 95 % over seeds: of their mean, by Student's t, on these "
    "rows."
)


def of_result(result: Mapping[str, Any], view: View = ALL) -> list[Grid]:
    """All tables of a final result: the last split whole, the others in front alone."""
    if "points" in result:
        return of_study(result, view)
    if not (splits := held_out(result)):
        return [trial_table({"run": result}, view)]
    intervals = result.get("intervals", {})
    of = lambda split: {**result[split], "intervals": intervals.get(split)}
    fronts = [front_table(s, of(s)["tasks"], of(s)["intervals"], view) for s in splits]
    return [*fronts[:-1], *of_split(splits[-1], of(splits[-1]), view)]


def of_study(result: Mapping[str, Any], view: View = ALL) -> list[Grid]:
    """A study: its trials, its points on each split, and its domains on the last."""
    splits, found = held_out(result), [trial_table(result["trials"], view)]
    for split in splits:
        points, intervals = (
            {point: of.get(split, {}) for point, of in result.get(table, {}).items()}
            for table in ("points", "intervals")
        )
        tables = point_tables(split, points, intervals, view)
        found += tables if split == splits[-1] else tables[:1]
    if "differences" in result and view.metric is None:
        found.append(difference_table(result["differences"]))
    if splits:
        found += _domain_tables(result, splits[-1], view)
    return found


def trial_table(results: Mapping[str, Any], view: View = ALL) -> Grid:
    """One row a trial: its best epoch, and each task on the last split.

    Of one or two tasks, there is room for validation, too.
    """
    measured = [r for r in results.values() if "validation" in r]
    splits = held_out(measured[0]) if measured else []
    shown = view.tasks(measured[0]["validation"]["tasks"]) if measured else {}
    splits = splits if len(shown) <= 2 else splits[-1:]
    each = [(s, t, name) for s in splits for t, name in shown.items()]
    alike = common(shown)
    headers = [f"{s} {t}" if alike else f"{s} {t} {name}" for s, t, name in each]
    ended = ["diverged"] if any("diverged" in r for r in results.values()) else []
    rows = [
        [
            name,
            number(r["epochs"]),
            number(r["step"]) if r["step"] else "none",
            *(_end(r) for _ in ended),
            *(number(r[s]["tasks"][t][m]) if s in r else "" for s, t, m in each),
        ]
        for name, r in results.items()
    ]
    return Grid(
        f"trials{alike}", ["trial", "epochs", "best step", *ended, *headers], rows
    )


def _end(result: Mapping[str, Any]) -> str:
    return f"before step {result['diverged']:,}" if "diverged" in result else ""


def point_tables(
    split: str,
    points: Mapping[str, Tasks],
    intervals: Mapping[str, Any] | None = None,
    view: View = ALL,
) -> list[Grid]:
    """Each point and task: the mean of one metric with its intervals; the others.

    Points without a finished trial are left out: the table of trials has them.
    """
    points = {point: tasks for point, tasks in points.items() if tasks}
    if not points:
        return []
    shown = view.tasks(next(iter(points.values())))
    pairs = [(point, task) for task in shown for point in points]
    spreads = [points[p][t][shown[t]] for p, t in pairs]
    own = lambda p, t, name: number(points[p][t][name]) if shown[t] == name else ""
    columns = {"n": [f"{spread['trials']}" for spread in spreads]}
    for name in dict.fromkeys(shown.values()):
        columns[name] = [own(*pair, name) for pair in pairs]
    notes = []
    if several := any(spread["interval"] for spread in spreads):
        columns["95 % over seeds"] = [ends(spread["interval"]) for spread in spreads]
        notes.append(OVER_SEEDS)
    known = {point: found for point, found in (intervals or {}).items() if found}
    if known:
        first = next(iter(known.values()))
        over = f"95 % over {first['over']}"
        cell = lambda p, t: over_rows(known[p], t, shown[t]) if p in known else ""
        columns[over] = [cell(*pair) for pair in pairs]
        which = "of one trial, " if several else ""
        notes.append(f"{over}: {which}{redrawn(split, first)}.")
    alone = len(points) == 1
    heads = [[task] if alone else [task, point] for point, task in pairs]
    body = zip(*columns.values(), strict=True)
    rows = [[*head, *row] for head, row in zip(heads, body, strict=True)]
    names = ["task"] if alone else ["task", "point"]
    if not alone:
        notes.append("--metric shows others.")
    front = Grid(split, [*names, *columns], rows, " ".join(notes), names=len(names))
    return [front, *_others(split, points.popitem()[1], shown)] if alone else [front]


def difference_table(found: Mapping[str, Any]) -> Grid:
    """How far the best point is ahead of each other one, and whether by chance."""
    over = f"95 % over {found['over']}"
    rows = [
        [
            task,
            point,
            signed(gain["mean"]),
            "yes" if by_more_than_chance(gain["interval"]) else "no",
            *(ends(gain[name]) for name in ("interval", "over_rows", "over_seeds")),
        ]
        for task, points in found["tasks"].items()
        for point, gain in points.items()
    ]
    columns = ["task", "point", "ahead by", "more than chance", "95 %", over]
    note = (
        f"{found['best']} is the best point on validation. 95 %: of the difference, "
        f"over {found['over']} and seeds."
    )
    title = f"{found['split']}, {found['best']} against the others"
    return Grid(title, [*columns, "95 % over seeds"], rows, note, names=2)


def signed(value: float | None) -> str:
    """A difference, with its sign."""
    return "undefined" if value is None else f"{value:+.4f}"


def by_more_than_chance(interval: Sequence[float] | None) -> bool:
    """Whether an interval of a difference does not hold 0."""
    return interval is not None and not interval[0] <= 0 <= interval[1]


def _others(split: str, tasks: Tasks, shown: Mapping[str, str]) -> list[Grid]:
    """The metrics that are not in front, if any, as mean and deviation."""
    if not (others := in_order(tasks.values(), shown.values())):
        return []
    rows = [[task, *cells(metrics, others)] for task, metrics in tasks.items()]
    return [Grid(f"{split}, other metrics", ["task", *others], rows, short=SHORT)]


def _domain_tables(result: Mapping[str, Any], split: str, view: View) -> Iterator[Grid]:
    """The domains of each point; of several points their means alone, unless asked."""
    of = lambda table, point: result.get(table, {}).get(point, {}).get(split)
    points = [p for p in result["points"] if of("points", p) and of("domains", p)]
    if not points:
        return
    shown = view.tasks(of("points", points[0]))
    title, note = f"{split}{common(shown)} by domain", "±: deviation over seeds."
    if len(points) > 1 and not view.by_domain:
        rows = [
            [
                point,
                how,
                *(number(of("domains", point)[how][t][n]) for t, n in shown.items()),
            ]
            for point in points
            for how in ("macro", "worst")
            if how in of("domains", point)
        ]
        columns = ["point", "domains", *shown]
        yield Grid(title, columns, rows, f"{note} --by-domain shows each.", names=2)
        return
    counted = next(
        sizes(r[split]["domains"]) for r in result["trials"].values() if split in r
    )
    for point in points:
        found = of("domains", point)
        means = {
            "all": of("points", point),
            "macro mean": found.get("macro"),
            "worst": found.get("worst"),
        }
        named = f"{title}, {point}" if point else title
        yield domain_table(
            named,
            shown,
            found["each"],
            counted,
            means,
            found.get("worst_domain", {}),
            view,
            note,
        )
