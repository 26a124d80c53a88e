"""A part of the page."""

import dataclasses

from ple_jax.report.figures import Figure
from ple_jax.show.grid import Grid

MOST = 6  # sides that are looked into, and tasks and tables that are drawn


@dataclasses.dataclass
class Section:
    """A heading, and what stands below it, in this order.

    One with a `fault` could not be made, and says why.
    """

    title: str
    words: list[str] = dataclasses.field(default_factory=list)
    figures: list[Figure] = dataclasses.field(default_factory=list)
    grids: list[Grid] = dataclasses.field(default_factory=list)
    fault: str = ""
