"""What runs do inside: sections on slices, fields and embeddings."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ple_jax.analysis.embeddings import embedding_use
from ple_jax.analysis.importance import permutation_importance
from ple_jax.analysis.scored import scored
from ple_jax.analysis.slices import slice_metrics
from ple_jax.analysis.slicing import slices_of
from ple_jax.metrics.paired import is_sure
from ple_jax.report import figures
from ple_jax.report.figures import Bar
from ple_jax.report.section import MOST, Section
from ple_jax.show.compared import SHORT_METRICS, apart
from ple_jax.show.grid import Grid
from ple_jax.show.measured import ends, number
from ple_jax.show.results import signed
from ple_jax.studies.sides import Side

FIELDS = 20  # of most importance, that are drawn


class Asked(NamedTuple):
    """What a report looks into beside what it always does."""

    slices: tuple[str, ...] = ()  # columns
    importance: bool = False
    conflict: bool = False
    over_time: bool = False  # the conflict, epoch by epoch


NOTHING = Asked()


def sliced(sides: Sequence[Side], split: str, column: str) -> Section:
    """How good each run is by the values of a column."""
    slices = slices_of(sides[0].data, split, column)
    each = {s.name: slice_metrics(scored(s, split)[0], slices) for s in sides}
    made, rows = Section(f"By {column}"), list[list[str]]()
    for task in sides[0].data.layout.tasks[:MOST]:
        found = {name: of["tasks"][task.name] for name, of in each.items()}
        made.figures += _slice_figure(task.name, column, split, slices, found)
    for name, of in each.items():
        for task_name, found in of["tasks"].items():
            rows += _slice_rows(name, task_name, of["slices"], found)
    columns = ["slice", "task", "run", "examples", "mean label", "predicted"]
    note = (
        f"Of {split}, first seed. Values of few examples differ by chance: see the "
        "interval, which is over users or examples."
    )
    heads = [*columns, "metric", "value", "95 %", "log loss"]
    return made_with(made, Grid(f"metrics by {column}", heads, rows, note, names=3))


def made_with(section: Section, grid: Grid) -> Section:
    """The section with one more table."""
    section.grids.append(grid)
    return section


def _slice_rows(
    run: str, task: str, names: Sequence[str], found: Mapping[str, Any]
) -> Iterable[list[str]]:
    metrics, metric = found["metrics"], found["metric"]
    for i, name in enumerate(names):
        pair = (
            None if np.isnan(found["low"][i]) else (found["low"][i], found["high"][i])
        )
        yield [
            name,
            task,
            run,
            f"{int(metrics['examples'][i]):,}",
            _known(found["actual"][i]),
            _known(found["predicted"][i]),
            SHORT_METRICS.get(metric, metric),
            _known(metrics[metric][i]),
            ends(pair),
            _known(metrics["log_loss"][i]) if "log_loss" in metrics else "",
        ]


def _known(value: float) -> str:
    return number(None if np.isnan(value) else float(value))


def _slice_figure(
    task: str,
    column: str,
    split: str,
    slices: Sequence[Any],
    found: Mapping[str, Mapping[str, Any]],
) -> list[figures.Figure]:
    """The headline of each slice; none where no slice has one."""
    first = next(iter(found.values()))
    whole, metric = first["metrics"][first["metric"]][-1], first["metric"]
    bars = [
        Bar(
            f"{part.name}: {run}" if len(found) > 1 else part.name,
            float(of["metrics"][metric][i]),
            None if np.isnan(of["low"][i]) else [of["low"][i], of["high"][i]],
            colour,
        )
        for i, part in enumerate(slices)
        for (run, of), colour in zip(found.items(), figures.COLOURS, strict=False)
        if not np.isnan(of["metrics"][metric][i])
    ]
    if not bars or np.isnan(whole):
        return []
    caption = (
        f"{SHORT_METRICS.get(metric, metric)} of {task} on {split} by {column}, with "
        f"95 % intervals. The line: {next(iter(found))} on all rows."
    )
    return [figures.forest(f"{task} by {column}", caption, bars, whole, metric)]


def fields(sides: Sequence[Side], wanted: bool) -> Section:
    """How much worse each run is without each field."""
    made = Section("Fields")
    if not wanted:
        made.words.append("--importance measures how much each field matters.")
        return made
    rows = list[list[str]]()
    for side in sides:
        found = permutation_importance(side.runs[0])
        for task, of in found["importance"].items():
            rows += [[f, task, side.name, *_lost(gain)] for f, gain in of.items()]
        for task in [*found["importance"]][:MOST]:
            made.figures += _importance_figure(side.name, task, found)
        made.words += unimportant(side.name, found)
    note = (
        f"Fall of the headline on {found['rows']:,} rows of validation when values of "
        "the field are shuffled among rows of a domain, the mean of "
        f"{found['permutations']} shuffles. 95 %: over rows and shuffles. Fields that "
        "say the same share what they are worth. First seed."
    )
    columns = ["field", "task", "run", "metric falls by", "95 %"]
    return made_with(made, Grid("importance of fields", columns, rows, note, names=3))


def _lost(gain: Mapping[str, Any]) -> list[str]:
    return [signed(gain["mean"]), apart(gain["interval"])]


def _importance_figure(
    name: str, task: str, found: Mapping[str, Any]
) -> list[figures.Figure]:
    known = {
        field: gain
        for field, gain in found["importance"][task].items()
        if gain["mean"] is not None
    }
    ranked = sorted(known, key=lambda field: -known[field]["mean"])[:FIELDS]
    bars = [Bar(f, known[f]["mean"], known[f]["interval"]) for f in ranked]
    if not bars:
        return []
    metric = found["metrics"][task]
    more = f"The {len(bars)} of most of {len(known)}. " * (len(bars) < len(known))
    caption = f"{more}What {name} loses on {task} without each field, at 95 %."
    title = f"Importance of fields, {name}, {task}"
    return [figures.forest(title, caption, bars, 0, f"fall of {metric}")]


def unimportant(name: str, found: Mapping[str, Any]) -> list[str]:
    """Names the fields without which no task is worse by more than chance."""
    tasks = list(found["importance"].values())
    idle = [f for f in tasks[0] if not any(is_sure(of[f]) for of in tasks)]
    if not idle:
        return []
    listed = ", ".join(idle[:FIELDS]) + f" and {len(idle) - FIELDS} more" * (
        len(idle) > FIELDS
    )
    return [f"{name} is no worse on any task, but by chance, without {listed}."]


def embedded(sides: Sequence[Side]) -> Section:
    """How long embeddings are, and which values train lacks."""
    made, rows = Section("Embeddings"), list[list[str]]()
    for side in sides:
        found = embedding_use(side.runs[0])
        if not found:
            continue
        largest = sorted(found, key=lambda name: -found[name]["rows"])[:MOST]
        made.figures.append(
            figures.norms(side.name, {name: found[name] for name in largest})
        )
        rows += [_embedding_row(name, side, of) for name, of in found.items()]
        if side is sides[0]:
            made.words += lacking(side, found)
    if not rows:
        made.words.append("None of the fields has embeddings.")
        return made
    splits = [f"unseen in {split}" for split in sides[0].data.splits[1:]]
    columns = ["field", "run", "rows", "width", "never trained", *splits]
    heads = [*columns, "length, rarest tenth", "length, most frequent tenth"]
    note = (
        "Never trained: share of rows that no example of train reads. Unseen: share of "
        "examples with a value that train never has. Length: median |row|, first seed."
    )
    return made_with(made, Grid("embeddings of fields", heads, rows, note, names=2))


def _embedding_row(name: str, side: Side, of: Mapping[str, Any]) -> list[str]:
    middle = of["norms"][:, 1]
    return [
        name,
        side.name,
        f"{of['rows']:,}",
        f"{of['width']}",
        f"{of['never_trained']:.4f}",
        *(f"{share:.4f}" for share in of["unseen"].values()),
        *(f"{middle[i]:.4f}" if len(middle) else "undefined" for i in (0, -1)),
    ]


def lacking(side: Side, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names fields that many examples of the last split have unseen values of."""
    split, most = side.data.splits[-1], side.data.schema.unknown_warning
    return [
        f"{of['unseen'][split]:.0%} of the examples of {split} have a value of {name} "
        "that train never has: its embedding says nothing there."
        for name, of in found.items()
        if of["unseen"][split] > most
    ]
