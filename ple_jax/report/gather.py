"""What runs there are to report on, and what is left out, and why."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from ple_jax.studies.sides import Side, short_names, sides_in


class Gathered(NamedTuple):
    """Runs of one data set, and what there is to say of others.

    Attributes:
        sides: What the report is on; the first is the reference.
        left_out: One sentence for each run that is unfinished, damaged, diverged or of
            other data.
    """

    sides: list[Side]
    left_out: list[str]


def gather(directories: Sequence[pathlib.Path]) -> Gathered:
    """The finished runs of the data set that the first finished one has.

    Raises:
        ValueError: None is finished and whole.
    """
    sides, left_out = list[Side](), list[str]()
    for directory, name in zip(directories, short_names(directories), strict=True):
        try:
            sides += sides_in(directory, name, left_out)
        except (ValueError, OSError) as error:
            left_out.append(str(error))
    for side in sides:
        left_out += [f"{side.name}: {name} diverged." for name in side.left_out]
    if not sides:
        raise ValueError(f"There is nothing to report on. {' '.join(left_out)}")
    first = sides[0].data.fingerprint
    for side in sides:
        if side.data.fingerprint != first:
            left_out.append(
                f"{side.name} is of another data set than {sides[0].name}: make a "
                "report of its own."
            )
    alike = [side for side in sides if side.data.fingerprint == first]
    return Gathered(alike, left_out)
