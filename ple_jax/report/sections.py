"""What a report says: sections of words, tables and figures, each from plain arrays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ple_jax import config
from ple_jax.analysis.calibration import calibration
from ple_jax.analysis.comparison import compare
from ple_jax.analysis.gates import gate_use, unused
from ple_jax.analysis.learning import learning_curve
from ple_jax.analysis.scored import is_probability, scored
from ple_jax.analysis.seesaw import planes
from ple_jax.metrics.paired import HEADLINES
from ple_jax.metrics.spread import spread
from ple_jax.report import figures, inside, tasks
from ple_jax.report.inside import NOTHING, Asked
from ple_jax.report.section import MOST, Section
from ple_jax.show import compared
from ple_jax.show.grid import Grid
from ple_jax.show.measured import number
from ple_jax.show.results import of_result
from ple_jax.show.tables import prepared_table
from ple_jax.studies.sides import Side


def sections(
    sides: Sequence[Side], split: str | None = None, asked: Asked = NOTHING
) -> Iterator[Section]:
    """All sections: the verdict first.

    A part that cannot be made says why, and the others follow.

    Args:
        sides: Finished runs of one data set.
        split: Where they are measured; by default test, or validation without it.
        asked: What else to look into.
    """
    split = split or sides[0].data.splits[-1]
    shown = list(sides[:MOST])
    parts: dict[str, Callable[[], Section]] = {
        "Verdict": lambda: verdict(sides, split),
        "Learning": lambda: learning(shown),
        **{f"By {c}": partial(inside.sliced, shown, split, c) for c in asked.slices},
        "Calibration": lambda: calibrated(shown, split),
        "Fields": lambda: inside.fields(shown, asked.importance),
        "Embeddings": lambda: inside.embedded(shown),
        "Gates": lambda: gated(shown),
        "Conflict": lambda: tasks.torn(shown, asked.conflict, asked.over_time),
        "Configuration": lambda: configuration(sides),
    }
    for title, make in parts.items():
        try:
            yield make()
        except (ValueError, OSError, KeyError) as error:
            why = f"This part could not be made: {error}"
            yield Section(title, [why], fault=str(error))


def verdict(sides: Sequence[Side], split: str) -> Section:
    """What is gained and lost; of one side, how good it is."""
    if len(sides) == 1:
        grids = of_result(sides[0].runs[0].result or {})
        return Section("Verdict", alone(sides[0], split), [], grids)
    found = compare(sides, split)
    drawn = [figures.gains(found, "", found["gains"])]
    for domain, of in list(found["domains"].items())[: 2 * MOST]:
        drawn.append(figures.gains(found, f", {domain}", of["gains"]))
    drawn += [figures.seesaw(found, plane) for plane in planes(found)[:MOST]]
    return Section("Verdict", compared.sentences(found), drawn, compared.grids(found))


def alone(side: Side, split: str) -> list[str]:
    """How good one run is, in a sentence a task."""
    said = []
    for task in side.data.layout.tasks:
        metric = HEADLINES[task.loss]
        results = [run.result or {} for run in side.runs]
        found = spread([r[split]["tasks"][task.name][metric] for r in results])
        over = f" (mean of {found['trials']} seeds)" if found["trials"] > 1 else ""
        name = compared.SHORT_METRICS.get(metric, metric)
        said.append(
            f"On {split}, {side.name} has {name} {number(found)} on {task.name}{over}."
        )
    said.append(
        "Name a second run, such as one of single_task, to see what sharing gains."
    )
    return said


def learning(sides: Sequence[Side]) -> Section:
    """How runs went, epoch by epoch."""
    each = {side.name: [learning_curve(run) for run in side.runs] for side in sides}
    metrics = {t.name: HEADLINES[t.loss] for t in sides[0].data.layout.tasks}
    rows = [
        [
            name,
            str(seed),
            f"{len(curve['best'])}",
            f"{np.flatnonzero(curve['best']).max(initial=-1) + 1}",
            f"{curve['examples'][-1]:,}",
            f"{curve['seconds'][-1]:.1f}",
        ]
        for side, (name, curves) in zip(sides, each.items(), strict=True)
        for seed, curve in zip(side.seeds, curves, strict=True)
        if len(curve["best"])
    ]
    columns = ["run", "seed", "epochs", "best epoch", "examples", "seconds"]
    grid = Grid("trainings", columns, rows)
    return Section("Learning", [], [figures.curves(each, metrics)], [grid])


def calibrated(sides: Sequence[Side], split: str) -> Section:
    """Whether probabilities are right, and what recalibration on validation does."""
    each = {
        side.name: calibration(scored(side, split)[0], scored(side, "validation")[0])
        for side in sides
    }
    known = [t.name for t in sides[0].data.layout.tasks if is_probability(t)]
    rows = [
        [name, task, number(of[task]["ratio"]), number(of[task]["error"])]
        + [number(after["error"]) for after in of[task]["after"].values()]
        for name, of in each.items()
        for task in known
        if of[task]["error"] is not None
    ]
    width = max(map(len, rows), default=4)
    rows = [[*row, *[""] * (width - len(row))] for row in rows]
    after = ["error after Platt", "error after isotonic"][: width - 4]
    columns = ["run", "task", "predicted / actual", "error", *after]
    note = (
        "Error: expected calibration error over tenths; 0 is ideal. After: fitted on "
        f"validation, measured on {split}. First seed."
    )
    grid = Grid(f"calibration, {split}", columns, rows, note, names=2)
    drawn = [figures.reliability(each, known, split)] if known else []
    return Section("Calibration", [], drawn, [grid, *calibrated_domains(each, split)])


def calibrated_domains(each: Mapping[str, Any], split: str) -> list[Grid]:
    """The same of each domain, without recalibration; none of a single domain."""
    rows = [
        [domain, task, name, f"{one['examples']:,}"]
        + [number(one[fact]) for fact in ("ratio", "error")]
        for name, of in each.items()
        for task, found in of.items()
        for domain, one in found["domains"].items()
        if one["error"] is not None
    ]
    columns = ["domain", "task", "run", "examples", "predicted / actual", "error"]
    note = "As above. Few examples raise the error by chance."
    title = f"calibration by domain, {split}"
    return [Grid(title, columns, rows, note, names=3)] if rows else []


def gated(sides: Sequence[Side]) -> Section:
    """Which experts gates take, and which nobody does."""
    made = Section("Gates")
    for side in sides:
        levels = [level for level in gate_use(side.runs[0]) if has_choice(level)]
        if not levels:
            continue
        made.figures.append(figures.gates(side.name, levels))
        made.grids.append(entropy_grid(side.name, levels))
        for level in levels:
            if few := unused(level):
                made.words.append(
                    f"{side.name}, {level['level']}: hardly any gate takes "
                    f"{', '.join(few)}. Fewer experts would do."
                )
    if not made.grids:
        made.words.append("None of these models has gates.")
    return made


def has_choice(level: Mapping[str, Any]) -> bool:
    """Whether a gate of a level sees more than one expert."""
    return bool((level["seen"].sum(axis=1) > 1).any())


def entropy_grid(name: str, levels: Sequence[Mapping[str, Any]]) -> Grid:
    """How evenly each gate mixes, by domain."""
    rows = [
        [level["level"], gate, domain, _share(level["entropy"][n, g])]
        for level in levels
        for g, gate in enumerate(level["gates"])
        for n, domain in enumerate(level["domains"])
    ]
    note = (
        "1: all experts alike; 0: one expert alone. Mean over examples of validation."
    )
    return Grid(
        f"entropy of gates, {name}",
        ["level", "gate", "domain", "entropy"],
        rows,
        note,
        names=3,
    )


def _share(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.3f}"


def configuration(sides: Sequence[Side]) -> Section:
    """The data set, and every knob of every run."""
    flat = {side.name: config.flat(side.runs[0].experiment) for side in sides}
    paths = dict.fromkeys(path for of in flat.values() for path in of)
    rows = [
        [p, *(compared.value_text(of.get(p)) for of in flat.values())] for p in paths
    ]
    grid = Grid("every knob, first seed", ["knob", *flat], rows)
    data = prepared_table(sides[0].data, "data set")
    return Section("Configuration", [], [], [data, grid])
