"""A figure of growth: a column an axis, a row a model."""

from collections.abc import Sequence

from .report import Record

LINES = {
    "ms": "step, ms",
    "PyTorch, ms": "PyTorch, ms",
    "floor, ms": "floor, ms",
    "GFLOP": "step, GFLOP",
    "needed, GFLOP": "equations, GFLOP",
}
TIMES = 3  # of these lines; where there are any, they are drawn alone


def draw(records: Sequence[Record], path: str) -> None:
    """Draw times where they were measured, else operations, on logarithmic scales."""
    from matplotlib.figure import Figure  # not needed otherwise

    columns = list(dict.fromkeys(r["axis"] for r in records))
    rows = list(dict.fromkeys(r["model"] for r in records))
    shape = {"nrows": len(rows), "ncols": len(columns), "squeeze": False}
    figure = Figure(figsize=(3 * len(columns), 3 * len(rows)), layout="constrained")
    panels = figure.subplots(**shape, sharex="col")
    for i, model in enumerate(rows):
        for j, axis in enumerate(columns):
            of_panel = [r for r in records if (r["axis"], r["model"]) == (axis, model)]
            panel(panels[i, j], of_panel, axis if i == len(rows) - 1 else "")
        panels[i, 0].set_ylabel(model)
    panels[0, 0].legend(fontsize="small")
    figure.savefig(path)


def panel(axes, records: Sequence[Record], name: str) -> None:
    """Draw one model along one axis."""
    axes.set(xscale="log", yscale="log", xlabel=name)
    values = sorted({r["value"] for r in records})
    axes.set_xticks(values, map(str, values), fontsize="small")
    axes.set_xticks([], minor=True)
    names = list(LINES)
    timed = any(r.get(name) for r in records for name in names[:TIMES])
    for line in names[:TIMES] if timed else names[TIMES:]:
        points = [(r["value"], r[line]) for r in records if r.get(line)]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", ms=3, label=LINES[line])
