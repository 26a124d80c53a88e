"""Figures as SVG: text stays text, and takes the colour of the page."""

import html
import io
import itertools
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ple_jax.show.escape import one_line

INK = "#010203"  # becomes the colour of the page's text
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9")
MARKERS = "osD^vP"
WIDEST = 40  # letters of a label
STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(
        (
            "text.color",
            "axes.edgecolor",
            "axes.labelcolor",
            "xtick.color",
            "ytick.color",
        ),
        INK,
    ),
}


class Figure(NamedTuple):
    """A picture, and what it shows."""

    svg: str
    title: str
    caption: str


Draw = Callable[[Any], None]  # draws on a figure of matplotlib


def figure(title: str, caption: str, draw: Draw, width: float, height: float) -> Figure:
    """Draws a figure of so many inches.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    text = io.StringIO()
    style: Any = {**STYLE, "svg.hashsalt": title}
    none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that a font lacks
        canvas = Canvas(figsize=(width, height), layout="constrained")
        draw(canvas)
        canvas.savefig(text, format="svg", transparent=True, metadata=none)
    return Figure(_inlined(text.getvalue(), title), title, caption)


numbered = itertools.count()


def _inlined(svg: str, title: str) -> str:
    """An SVG that can stand in a page beside others."""
    svg = svg[svg.index("<svg") :]
    prefix = f"f{next(numbered)}-"
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", svg)
    label = html.escape(one_line(title), quote=True)
    opening = f'<svg role="img" aria-label="{label}" '
    return opening + svg[len("<svg") :].replace(INK, "currentColor")


class Bar(NamedTuple):
    """A number and its interval, on a line of its own."""

    label: str
    value: float
    ends: Sequence[float] | None
    colour: str = COLOURS[0]


def forest(
    title: str, caption: str, bars: Sequence[Bar], origin: float, about: str
) -> Figure:
    """Numbers with their intervals, one line each, beside a line at the origin."""

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        axes.axvline(origin, color=INK, linewidth=0.8)
        for i, bar in enumerate(bars):
            if bar.ends is not None:
                axes.plot(bar.ends, [i, i], color=bar.colour, linewidth=2)
            axes.plot([bar.value], [i], "o", color=bar.colour)
        axes.set_yticks(range(len(bars)), [shortened(bar.label) for bar in bars])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_xlabel(one_line(about))

    return figure(title, caption, draw, 7.5, 0.9 + 0.32 * max(len(bars), 1))


def shortened(label: str) -> str:
    """A label of one line and at most 40 letters."""
    line = one_line(label)
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…"


def gains(found: Mapping[str, Any], where: str, table: Mapping[str, Any]) -> Figure:
    """Differences with their intervals, one line each; 0 is the reference."""
    colours = {"ahead": COLOURS[2], "behind": COLOURS[1]}
    bars = [
        Bar(
            f"{task}: {name}",
            gain["mean"],
            gain["interval"],
            colours.get(gain["verdict"], INK),
        )
        for task, of in table.items()
        for name, gain in of.items()
        if gain["interval"] is not None
    ]
    caption = (
        f"Difference from {found['reference']} on {found['split']}{where}, with its 95 "
        "% interval over seeds and rows. Right of the line is better."
    )
    title = f"How far ahead, {found['split']}{where}"
    return forest(title, caption, bars, 0, f"ahead of {found['reference']}")


def seesaw(found: Mapping[str, Any], plane: Mapping[str, Any]) -> Figure:
    """What sides gain on one task beside what they gain on another."""

    def draw(canvas: Any) -> None:
        axes, colours = canvas.subplots(), itertools.cycle(COLOURS)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.axhline(0, color=INK, linewidth=0.8)
        for i, name in enumerate(plane["names"]):
            (x, y), colour = plane["gains"][i], next(colours) if i else INK
            axes.plot(plane["ends"][i, 0], [y, y], color=colour, linewidth=1)
            axes.plot([x, x], plane["ends"][i, 1], color=colour, linewidth=1)
            look = {"fillstyle": "full" if plane["front"][i] else "none"}
            mark = MARKERS[i % len(MARKERS)]
            axes.plot([x], [y], mark, color=colour, label=one_line(name), **look)
        axes.set_xlabel(f"ahead on {one_line(plane['tasks'][0])}")
        axes.set_ylabel(f"ahead on {one_line(plane['tasks'][1])}")
        axes.legend(frameon=False, fontsize=8)

    one, other = plane["tasks"]
    caption = (
        f"How far each is ahead of {found['reference']}, which is at 0, on {one} and "
        f"on {other}, {found['split']}; lines are 95 % intervals. Filled marks: no "
        "other is as good on both and better on one."
    )
    return figure(f"{one} against {other}", caption, draw, 6.0, 4.2)


def curves(each: Mapping[str, Sequence[Mapping[str, Any]]], metrics: Mapping[str, str]):
    """Validation of each task over examples, and over seconds, a line a training."""

    def draw(canvas: Any) -> None:
        grid = canvas.subplots(len(metrics), 2, squeeze=False, sharey="row")
        for row, (task, metric) in zip(grid, metrics.items(), strict=True):
            for axes, by in zip(row, ("examples", "seconds"), strict=True):
                for (name, runs), colour, mark in zip(
                    each.items(), itertools.cycle(COLOURS), itertools.cycle(MARKERS)
                ):
                    for i, run in enumerate(runs):
                        label = None if i else one_line(name)
                        axes.plot(
                            run[by],
                            run["tasks"][task],
                            color=colour,
                            marker=mark,
                            markersize=3,
                            linewidth=1,
                            label=label,
                        )
                axes.set_xlabel(by if task == [*metrics][-1] else "")
            row[0].set_ylabel(f"{one_line(task)}\n{metric}")
        grid[0][0].legend(frameon=False, fontsize=8)

    caption = (
        "The headline on validation at the end of each epoch, a line a training. "
        "Seconds are of training alone, without compiling and measuring."
    )
    return figure("Learning curves", caption, draw, 7.5, 1.0 + 1.7 * len(metrics))


def reliability(
    each: Mapping[str, Mapping[str, Any]], tasks: Sequence[str], split: str
):
    """What is predicted beside what happens, in tenths of the rows."""

    def draw(canvas: Any) -> None:
        row = canvas.subplots(1, len(tasks), squeeze=False)[0]
        for axes, task in zip(row, tasks, strict=True):
            largest = 0.0
            for (name, of), colour, mark in zip(
                each.items(), itertools.cycle(COLOURS), itertools.cycle(MARKERS)
            ):
                bins = of[task]["deciles"]
                bars = 1.96 * bins["standard_error"]
                axes.errorbar(
                    bins["predicted"],
                    bins["actual"],
                    bars,
                    color=colour,
                    marker=mark,
                    markersize=4,
                    linewidth=1,
                    label=one_line(name),
                )
                largest = max([largest, *bins["predicted"], *bins["actual"]])
            axes.plot([0, largest], [0, largest], "--", color=INK, linewidth=0.8)
            axes.set_title(one_line(task), fontsize=10)
            axes.set_xlabel("predicted")
        row[0].set_ylabel("actual")
        row[0].legend(frameon=False, fontsize=8)

    caption = (
        f"Mean prediction and mean label in tenths of {split}, by the first seed of "
        "each run; on the dashed line both are equal. Bars: 95 %, over examples."
    )
    return figure("Reliability", caption, draw, min(3.0 * len(tasks) + 0.8, 12), 3.2)


def gates(name: str, levels: Sequence[Mapping[str, Any]]) -> Figure:
    """The mean weight of each expert in each gate, level by level."""
    from matplotlib.patches import Rectangle

    def draw(canvas: Any) -> None:
        row = canvas.subplots(len(levels), 1, squeeze=False)[:, 0]
        for axes, level in zip(row, levels, strict=True):
            for (g, e), value in np.ndenumerate(over_domains(level)):
                if level["seen"][g, e]:
                    place, share = (e - 0.5, g - 0.5), 0.75 * float(value)
                    cell = Rectangle(place, 1, 1, color=COLOURS[0], alpha=share)
                    axes.add_patch(cell)
                    axes.text(e, g, f"{value:.2f}", ha="center", va="center")
            axes.set_xlim(-0.5, len(level["experts"]) - 0.5)
            axes.set_ylim(len(level["gates"]) - 0.5, -0.5)
            axes.set_yticks(range(len(level["gates"])), map(one_line, level["gates"]))
            turn = {"rotation": 90} if len(level["experts"]) > 10 else {}
            axes.set_xticks(
                range(len(level["experts"])),
                map(one_line, level["experts"]),
                fontsize=8,
                **turn,
            )
            axes.set_title(one_line(level["level"]), fontsize=10)

    caption = (
        f"Mean gate weight of {name}, first seed: a row a gate, a column an expert. "
        "Cells without a number are experts that the gate does not see (PLE, figure 8)."
    )
    height = sum(0.9 + 0.35 * len(level["gates"]) for level in levels)
    return figure(f"Gate use of {name}", caption, draw, 7.5, 0.3 + height)


def over_domains(level: Mapping[str, Any]) -> np.ndarray:  # (G, E)
    """Mean weights over all examples."""
    share = level["examples"] / max(level["examples"].sum(), 1)
    return np.nansum(level["mean"] * share[:, None, None], axis=0)


def norms(name: str, each: Mapping[str, Mapping[str, Any]]) -> Figure:
    """How long rows of tables are, by how often train has them, a line a field."""

    def draw(canvas: Any) -> None:
        axes, counts = canvas.subplots(), np.array([])
        pairs = zip(each.items(), itertools.cycle(COLOURS), itertools.cycle(MARKERS))
        for (field, of), colour, mark in pairs:
            low, middle, high = of["norms"].T
            bars = np.stack([middle - low, high - middle])
            x = np.sqrt(of["least"] * of["most"])
            counts = np.append(counts, x)
            look = {"color": colour, "marker": mark, "markersize": 4, "linewidth": 1}
            axes.errorbar(x, middle, bars, label=one_line(field), **look)
        axes.set_xscale("log")
        axes.set_xticks(_few_between(counts))
        axes.minorticks_off()
        axes.xaxis.set_major_formatter("{x:,.0f}")  # its own speaks TeX
        axes.set_xlabel("examples of train with the value")
        axes.set_ylabel("length of its embedding")
        axes.legend(frameon=False, fontsize=8)

    caption = (
        f"Of {name}, first seed: the median length of embeddings in each tenth of the "
        "values, by how often train has them. Bars: from the 10th to the 90th percent."
    )
    return figure(f"Lengths of embeddings, {name}", caption, draw, 7.5, 3.2)


def _few_between(values: np.ndarray) -> np.ndarray:
    """At most five whole numbers from the least value to the most, by equal ratios."""
    if not len(values):
        return values
    return np.unique(np.geomspace(values.min(), values.max(), 5).round())
