"""A figure of growth: a column an axis, a row a model."""

from collections.abc import Sequence

from .report import Record

TIMES = {"ms": "step, ms", "PyTorch, ms": "PyTorch, ms", "floor, ms": "floor, ms"}
OPERATIONS = {"GFLOP": "step, GFLOP", "needed, GFLOP": "equations, GFLOP"}


def draw(records: Sequence[Record], path: str) -> None:
    """Draw times where they were measured, else operations, on logarithmic scales."""
    from matplotlib.figure import Figure  # not needed otherwise

    columns = list(dict.fromkeys(r["axis"] for r in records))
    rows = list(dict.fromkeys(r["model"] for r in records))
    size = 3 * len(columns), 3 * len(rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, model in enumerate(rows):
        for j, axis in enumerate(columns):
            of_panel = [r for r in records if (r["axis"], r["model"]) == (axis, model)]
            panels[i, j].set_visible(bool(of_panel))
            panel(panels[i, j], of_panel)
            panels[i, j].set(xlabel=axis, ylabel=model)
    figure.savefig(path)


def panel(axes, records: Sequence[Record]) -> None:
    """Draw one model along one axis."""
    axes.set(xscale="log", yscale="log")
    axes.tick_params(which="both", labelsize="small")
    values = sorted({r["value"] for r in records})
    axes.set_xticks(values, map(str, values))
    axes.set_xticks([], minor=True)
    timed = any("ms" in r for r in records)
    for name, label in (TIMES if timed else OPERATIONS).items():
        points = [(r["value"], r[name]) for r in records if r.get(name)]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", ms=3, label=label)
    if records:
        axes.legend(fontsize="x-small")
