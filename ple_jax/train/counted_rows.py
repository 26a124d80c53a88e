"""Which rows of saved arrays count: those after them only make tables divide evenly."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ple_jax.types import PyTree


@dataclasses.dataclass(frozen=True)
class CountedRows:
    """The rows of fused tables, and of what optimizers keep of them.

    On several devices a table ends with rows of zeros, as many as it takes to divide
    evenly. They are saved with it, and other devices want more or fewer of them.

    Attributes:
        of: Fused table -> its rows V that count.
        axis: The axis of rows: 1 behind that of trials.
    """

    of: Mapping[str, int] = dataclasses.field(default_factory=dict)
    axis: int = 0

    def in_array(self, path: Sequence[str]) -> int | None:
        """V of the table that an array belongs to, by its path; None of others."""
        return next((self.of[name] for name in path if name in self.of), None)

    def lengths(self, tables: PyTree) -> dict[str, int]:
        """Fused table -> all of its rows, with those that do not count."""
        return {name: tables[name].shape[self.axis] for name in self.of}

    def cut(self, path: Sequence[str], array: Any, start: int = 0) -> Any:
        """The rows of an array that count; its first is row `start` of the whole."""
        rows = self.in_array(path)
        if rows is None or array.ndim <= self.axis:
            return array
        left = max(rows - start, 0)
        return array[(slice(None),) * self.axis + (slice(left),)]
