"""A study file: axes with choices, and the experiment of each cell.

    [study]                      what is asked, and how: see `Asked`
    [base.SECTION]               knobs of every cell
    [axes.AXIS.CHOICE.SECTION]   knobs of the cells with this choice

A cell has one choice of each axis. Its experiment is the base with the knobs of its
choices, those of later axes last. An option of the base that a cell's kind of plugin
does not take is left out there.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ple_jax import config
from ple_jax.checks import at_least, check_known, check_unique
from ple_jax.config.experiment import Experiment
from ple_jax.config.paths import with_paths
from ple_jax.config.sweep import spelled
from ple_jax.config.values import dataclass_from, read_toml

TABLES = ("study", "base", "axes")
SEEDS = 5  # of each cell, where the file does not say
Tree = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a study asks.

    Attributes:
        title: The question, in a line.
        compare: The axis whose choices are compared, the others being equal; by
            default the last.
        reference: The choice that the others are compared with; by default the first.
        search: How many trials each cell's knobs are searched with, on validation,
            before its seeds are trained; 0 takes the knobs as they are.
        headlines_only: Whether results hold headlines over all domains alone, where
            many cells, seeds and domains would make a long file.
        without: Choices, `AXIS.CHOICE` each, that do not go together: cells that have
            all choices of one of these lists are left out.
    """

    title: str
    compare: str = ""
    reference: str = ""
    search: int = 0
    headlines_only: bool = False
    without: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self):
        at_least(0, "study", search=self.search)


class Cell(NamedTuple):
    """One choice of each axis, and the experiment that they make."""

    choices: Mapping[str, str]  # axis -> choice
    experiment: Experiment  # whose `train.seeds` are those of the cell

    @property
    def name(self) -> str:
        """Its choices, and the name of its folder."""
        return ",".join(map(spelled, self.choices.values()))

    def beside(self, axis: str) -> tuple[str, ...]:
        """Its choices on the other axes."""
        return tuple(choice for name, choice in self.choices.items() if name != axis)


class Plan(NamedTuple):
    """What a study asks, and its cells in order."""

    asked: Asked
    cells: tuple[Cell, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes."""
        return tuple(self.cells[0].choices)

    def compared(self) -> list[list[Cell]]:
        """Cells that differ on the axis `compare` alone, together."""
        groups: dict[tuple[str, ...], list[Cell]] = {}
        for cell in self.cells:
            groups.setdefault(cell.beside(self.asked.compare), []).append(cell)
        return list(groups.values())


def load(path: pathlib.Path) -> Plan:
    """The plan of a study file, of which every cell is checked.

    Raises:
        ValueError: There is no such file, or a name or a value in it is wrong.
    """
    if not path.is_file():
        raise ValueError(f"There is no study file {str(path)!r}.")
    tree = read_toml(path)
    folder = path.parent
    base = with_paths(_table(tree.get("base", {}), "base"), folder)
    axes = {
        axis: {
            c: with_paths(_table(part, f"axes.{axis}.{c}"), folder)
            for c, part in _table(choices, f"axes.{axis}").items()
        }
        for axis, choices in _table(tree.get("axes", {}), "axes").items()
    }
    return of({**tree, "base": base, "axes": axes})


def of(tree: Tree) -> Plan:
    """The plan of a study's nested dicts.

    Raises:
        ValueError: A name or a value in them is wrong.
    """
    for name in tree:
        check_known(name, TABLES, "table of a study")
    axes = _checked_axes(_table(tree.get("axes", {}), "axes"))
    asked = _resolved(_asked(tree), axes)
    base, cells = _with_seeds(_table(tree.get("base", {}), "base")), []
    refused: list[set[str]] = []
    for chosen in itertools.product(*axes.values()):
        choices = dict(zip(axes, chosen, strict=True))
        if not _is_left_out(choices, asked.without):
            parts = [axes[axis][choice] for axis, choice in choices.items()]
            whole, dropped = _merged(base, parts)
            cells.append(Cell(choices, _experiment(choices, whole)))
            refused.append(dropped)
    _check_cells(cells, refused, asked)
    return Plan(asked, tuple(cells))


def _asked(tree: Tree) -> Asked:
    if "study" not in tree:
        raise ValueError("A study file has a table [study] with its title.")
    return dataclass_from(Asked, tree["study"], "study")


def _checked_axes(axes: Tree) -> dict[str, Any]:
    """The axes, each with a choice at least; a choice is a table of sections."""
    if not axes:
        raise ValueError("A study needs an axis, such as [axes.model.ple.model].")
    for axis, choices in axes.items():
        if not _table(choices, f"axes.{axis}"):
            raise ValueError(f"axes.{axis} has no choice.")
        check_unique(map(spelled, choices), f"choice of axes.{axis}")
        for choice, part in choices.items():
            config.check_sections(_table(part, f"axes.{axis}.{choice}"))
    return dict(axes)


def _resolved(asked: Asked, axes: Mapping[str, Any]) -> Asked:
    """With the names that are left to defaults, and checked."""
    compare = asked.compare or list(axes)[-1]
    check_known(compare, axes, "axis of study.compare")
    reference = asked.reference or next(iter(axes[compare]))
    check_known(reference, axes[compare], "choice of study.reference")
    known = [f"{axis}.{choice}" for axis in axes for choice in axes[axis]]
    for name in itertools.chain(*asked.without):
        check_known(name, known, "choice of study.without")
    return dataclasses.replace(asked, compare=compare, reference=reference)


def _with_seeds(base: Tree) -> dict[str, Any]:
    config.check_sections(base)
    return {**base, "train": {"seeds": SEEDS, **base.get("train", {})}}


def _is_left_out(choices: Mapping[str, str], without: Sequence[Sequence[str]]) -> bool:
    names = {f"{axis}.{choice}" for axis, choice in choices.items()}
    return any(names.issuperset(together) for together in without)


def _merged(base: Tree, parts: Sequence[Tree]) -> tuple[dict[str, Any], set[str]]:
    """The base with the knobs of parts, and the options that a kind does not take."""
    tree, dropped = dict(base), set[str]()
    for part in parts:
        kinds = {
            s: part[s]["kind"] for s in config.PLUGINS if "kind" in part.get(s, {})
        }
        tree, lost = config.with_kinds(tree, kinds)
        dropped.update(lost)
        for section, knobs in part.items():
            tree[section] = {**tree.get(section, {}), **knobs}
    return tree, dropped


def _experiment(choices: Mapping[str, str], tree: Tree) -> Experiment:
    try:
        return config.from_dict(tree)
    except ValueError as error:
        named = ", ".join(f"{axis} {choice}" for axis, choice in choices.items())
        raise ValueError(f"The cell of {named}: {error}") from error


def _check_cells(cells: list[Cell], refused: list[set[str]], asked: Asked) -> None:
    """Raises a ValueError for an option of the base that suits no cell."""
    if not cells:
        raise ValueError("study.without leaves no cell.")
    if nowhere := set.intersection(*refused):
        raise ValueError(f"No cell takes base.{sorted(nowhere)[0]}.")
    for group in Plan(asked, tuple(cells)).compared():
        if asked.reference not in {cell.choices[asked.compare] for cell in group}:
            others = ", ".join(group[0].beside(asked.compare))
            raise ValueError(
                f"study.without leaves {others} without the reference "
                f"{asked.reference!r}, so there is nothing to compare with."
            )


def _table(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{path} must be a table, got {value!r}.")
    return dict(value)
