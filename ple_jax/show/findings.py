"""Tables of what a study found."""

from collections.abc import Mapping, Sequence
from typing import Any

from ple_jax.show.compared import apart, p_text
from ple_jax.show.grid import Grid
from ple_jax.show.measured import number
from ple_jax.show.results import signed

MARKS = {1: " ▲", -1: " ▼", 0: ""}
Names = tuple[str, ...]


def score_table(
    title: str,
    names: Sequence[str],
    choices: Sequence[str],
    values: Mapping[Names, Mapping[str, Mapping[str, Any]]],
    signs: Mapping[tuple[Names, str], int],
) -> Grid:
    """Mean and deviation over seeds: a row for each name, a column for each choice.

    Args:
        title: What is measured.
        names: Headers of what names a row.
        choices: What is compared.
        values: Names of a row -> choice -> `spread` over seeds.
        signs: (names of a row, choice) -> 1 if it is ahead of the reference by more
            than chance, -1 if it is behind.
    """
    cell = lambda row, c: (
        number(values[row][c]) + MARKS[signs.get((row, c), 0)]
        if c in values[row]
        else ""
    )
    rows = [[*row, *(cell(row, c) for c in choices)] for row in values]
    note = "±: deviation over seeds."
    if any(signs.values()):
        note += " ▲ ahead of the reference, ▼ behind it, by more than chance."
    return Grid(title, [*names, *choices], rows, note, len(names))


def difference_table(
    reference: str,
    axes: Sequence[str],
    found: Sequence[tuple[Names, Mapping[str, Any]]],
) -> Grid:
    """A row a difference: choices, task and choice, and `gain` with `p_adjusted`."""
    rows = [
        [*names, signed(gain["mean"]), apart(gain["interval"]), p_text(gain)]
        for names, gain in found
    ]
    columns = [*axes, "task", "choice", "difference", "95 % interval", "p"]
    note = (
        "Positive where the choice is ahead. Intervals are over rows of test and over "
        "seeds together; p is corrected for all comparisons of the study by Holm."
    )
    return Grid(f"Ahead of {reference}", columns, rows, note, len(axes) + 2)
