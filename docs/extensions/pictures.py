"""Draws models from what they are made of: the `Routing` of their levels.

python docs/extensions/pictures.py       # docs/ple.svg, the picture of the README
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import svg

from ple_jax import models
from ple_jax.layers.experts import Level, Routing, everyone_sees_all, own_and_shared
from ple_jax.layers.groups import Grouping
from ple_jax.schema import Task

HERE = pathlib.Path(__file__).parents[1]
WIDTH, NODE, ROW = 480, (44, 28), 62
TASKS = 2
ALPHA = "\N{GREEK SMALL LETTER ALPHA}"  # of a stitch
SMALL = {"experts_per_task": 2, "shared_experts": 2, "num_experts": 4, "subspaces": 1}


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a drawing of levels says beside their routings.

    Attributes:
        groups: Names of the groups, the shared one aside.
        mixes: What is in the gates' place, by its sign.
        towers: Whether towers stand on the last gates.
        title: What the picture shows, for those who do not see it.
    """

    groups: tuple[str, ...] = ("task 1", "task 2")
    mixes: str = "g"
    towers: bool = True
    title: str = "Experts, gates and towers"


def colour(group: int, groups: int) -> str:
    """Of a group; those past the named ones are shared."""
    return svg.COLOURS[group % len(svg.COLOURS)] if group < groups else svg.SHARED


def of_levels(levels: Sequence[Routing], drawn: Drawn) -> str:
    """Levels from the input below to the logits above.

    An expert has the colour of the group that alone sees it, or adds it as its own, and
    grey where several do; a line from an expert to a gate is a True of `Routing.mask`.
    """
    groups = len(drawn.groups)
    rows = 2 * len(levels) + 1 + 2 * drawn.towers
    height = ROW * rows - 4
    at = lambda row: height - 24 - ROW * row
    lines: list[str] = []
    nodes = [svg.box((WIDTH / 2, at(0)), (64, 28), "x", svg.SHARED, 14)]
    below = [(WIDTH / 2, at(0) - 14)]
    for j, routing in enumerate(levels):
        experts, gates = at(2 * j + 1), at(2 * j + 2)
        below = _level(routing, below, (experts, gates), drawn, lines, nodes)
    if drawn.towers:
        nodes += _towers(below, (at(rows - 2), at(rows - 1)), groups, drawn, lines)
    return svg.picture(WIDTH, height, drawn.title, [*lines, *nodes])


def _level(routing, below, rows, drawn, lines, nodes) -> list[svg.Point]:
    """Draws a level; returns where its gates' outputs are."""
    groups, (low, high) = len(drawn.groups), rows
    tall = NODE[1]
    mask = routing.mask
    places = svg.spread(mask.shape[1], WIDTH, 72)
    gates = svg.spread(len(mask), WIDTH, 150)
    sees = routing.residual or routing.visible
    for e, x in enumerate(places):
        seen = [g for g in range(min(groups, len(mask))) if e in sees[g]]
        own = seen[0] if len(seen) == 1 and len(mask) > 1 else groups
        owner = routing.owner[e] if e < len(routing.owner) else None
        if owner is not None:
            source = below[min(owner, len(below) - 1)]
            lines.append(svg.line(source, (x, low + tall / 2), svg.SHARED))
        label, paint = svg.subscript("f", e + 1), colour(own, groups)
        nodes.append(svg.box((x, low), NODE, label, paint))
    for g, (x, sees) in enumerate(zip(gates, mask, strict=True)):
        paint = colour(g, groups) if len(mask) > 1 else svg.SHARED
        for e in sees.nonzero()[0]:
            lines.append(svg.line((places[e], low - tall / 2), (x, high + 14), paint))
        label = svg.subscript(drawn.mixes, g + 1) if g < groups else "shared"
        nodes.append(
            svg.box((x, high), (34 if g < groups else 64, 28), label, paint, 14)
        )
    return [(x, high - 14) for x in gates]


def _towers(below, rows, groups, drawn, lines) -> list[str]:
    nodes, (low, high) = [], rows
    places = svg.spread(groups, WIDTH, 150)
    for t, (name, x) in enumerate(zip(drawn.groups, places, strict=True)):
        paint = colour(t, groups)
        lines += [
            svg.line(below[min(t, len(below) - 1)], (x, low + 14), paint),
            svg.line((x, low - 14), (x, high + 12), paint),
        ]
        nodes += [
            svg.box((x, low), (96, 28), "tower", paint),
            svg.text((x, high), f"logit, {name}"),
        ]
    return nodes


def levels_of(kind: str) -> list[Routing]:
    """The routings of a model's levels, caught while it runs on shapes alone."""
    options = models.describe(kind)["options"]
    small = {name: value for name, value in SMALL.items() if name in options}
    model = models.build(kind, num_tasks=TASKS, **small)
    found: dict[tuple[str, ...], Routing] = {}

    def catch(call, arguments, named, context):
        if isinstance(context.module, Level) and context.method_name == "__call__":
            found[context.module.path] = context.module.routing
        return call(*arguments, **named)

    with nn.intercept_methods(catch):
        jax.eval_shape(
            model.init, jax.random.key(0), jnp.ones((3, 5)), jnp.zeros(3, jnp.int32)
        )
    return [found[path] for path in sorted(found)]


def _stitched(mixes: str, levels: int = 1) -> tuple[list[Routing], Drawn]:
    mixed = everyone_sees_all(TASKS, TASKS, owned=True)
    return [mixed] * levels, Drawn(mixes=mixes)


def _asymmetric() -> tuple[list[Routing], Drawn]:
    visible = models.build("asymmetric", num_tasks=TASKS).visible
    return [Routing((0,) * TASKS, visible)], Drawn(mixes="+")


# Where towers read without gates, or networks mix in other ways than a `Level`'s.
OTHERS: dict[str, Callable[[], tuple[list[Routing], Drawn]]] = {
    "shared_bottom": lambda: ([everyone_sees_all(1, 1)], Drawn(mixes="h")),
    "asymmetric": _asymmetric,
    "customized": lambda: ([own_and_shared([1] * TASKS, 1)], Drawn(mixes="+")),
    "cross_stitch": lambda: _stitched(ALPHA),
    "sluice": lambda: _stitched(ALPHA, 2),
    "ml_mmoe": lambda: (
        [everyone_sees_all(4, 4), everyone_sees_all(TASKS, 4, owned=True)],
        Drawn(title="Gates that feed one expert of the next level each"),
    ),
    "separate": lambda: (
        [own_and_shared([1, 1, 1], 0)],
        Drawn(("domain 1", "domain 2", "domain 3"), "h"),
    ),
    "mulann": lambda: (
        [everyone_sees_all(1, 1)],
        Drawn(("task 1", "task 2", "which domain?"), "h"),
    ),
}


def of_model(kind: str) -> str:
    """The picture of a model, or nothing where experts do not tell what it is."""
    title = f"{kind}: experts below, what mixes them, and towers on top"
    if kind == "star":
        return star(3)
    if kind in OTHERS:
        levels, drawn = OTHERS[kind]()
    else:
        levels, drawn = levels_of(kind), Drawn()
    named = dataclasses.replace(drawn, title=title)
    return of_levels(levels, named) if levels else ""


def star(domains: int) -> str:
    """One layer of a star: the shared weights times each domain's own."""
    step, height = WIDTH / domains, 214
    nodes, lines = [], []
    middle = (WIDTH / 2, height - 24)
    nodes.append(svg.box(middle, (150, 30), "shared W, b", svg.SHARED))
    for p in range(domains):
        x, paint = step * (p + 0.5), colour(p, domains)
        number = svg.subscript("", p + 1)
        own, product = (x, 118), (x, 62)
        lines += [
            svg.line((WIDTH / 2, height - 39), (x, 134), svg.SHARED),
            svg.line((x, 102), (x, 77), paint),
            svg.line((x, 47), (x, 26), paint),
        ]
        nodes += [
            svg.box(own, (118, 30), f"own W{number}, b{number}", paint),
            svg.box(product, (118, 30), f"W ⊙ W{number}, b + b{number}", paint),
            svg.text((x, 14), f"domain {p + 1}"),
        ]
    title = "A star: each domain's weights are the shared ones times its own"
    return svg.picture(WIDTH, height, title, [*lines, *nodes])


def sample_spaces(tasks: Sequence[Task]) -> str:
    """Tasks of which each is given the one before: each space inside the last."""
    height, deeper = 44 + 58 * len(tasks), (36, 12)
    left, top, right, bottom = 2.0, 2.0, WIDTH - 2.0, height - 2.0
    nodes = []
    names = ["all examples", *(f"{t.name}: {_measured(t)}" for t in tasks)]
    paints = [svg.SHARED, *svg.COLOURS[: len(tasks)]]
    for name, paint in zip(names, paints, strict=True):
        middle = ((left + right) / 2, (top + bottom) / 2)
        nodes.append(svg.box(middle, (right - left, bottom - top), "", paint))
        nodes.append(svg.text((left + 14, top + 20), name, anchor="start"))
        left, right = left + deeper[0], right - deeper[1]
        top, bottom = top + 42, bottom - deeper[1]
    return svg.picture(WIDTH, height, "Sample spaces, one inside the other", nodes)


def _measured(task: Task) -> str:
    where = f"where {task.given} is 1" if task.given else "on all of them"
    return f"learned and measured {where}"


def of_groups(groups: str) -> str:
    """Experts and gates of two tasks in two domains, by what they belong to."""
    grouping = Grouping(groups, num_tasks=2, num_domains=2)
    names = {
        "tasks": ("task 1", "task 2"),
        "domains": ("domain 1", "domain 2"),
        "tasks_domains": tuple(f"d{d}, t{t}" for d in (1, 2) for t in (1, 2)),
    }[groups]
    routing = own_and_shared([1] * grouping.total, 1)
    return of_levels([routing], Drawn(names, title=f"Groups by {groups}"))


def write(name: str, picture: str) -> pathlib.Path:
    """Writes a picture for the pages; returns its file."""
    folder = HERE / "pictures"
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.svg"
    file.write_text(picture, encoding="utf-8")
    return file


def concepts() -> None:
    """The pictures of the pages on concepts."""
    for kind in ("adatt", "ple", "mmoe", "cgc", "shared_bottom", "star"):
        write(kind, of_model(kind))
    for groups in ("tasks", "domains", "tasks_domains"):
        write(f"groups_{groups}", of_groups(groups))
    funnel = [Task("click"), Task("purchase", given="click")]
    write("sample_spaces", sample_spaces(funnel))


if __name__ == "__main__":
    (HERE / "ple.svg").write_text(svg.alone(of_model("ple")), encoding="utf-8")
