"""Counts the ids that train does not have, when rows are scored."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ple_jax.data.rows import is_missing

WORRYING = 0.1  # share of unknown values of a field above which a line warns


@dataclasses.dataclass
class Tally:
    """The values of one field; missing ones do not count."""

    values: int = 0
    unknown: int = 0
    example: str = ""  # an unknown value

    @property
    def share(self) -> float:
        """The share of values that train does not have."""
        return self.unknown / max(self.values, 1)


class UnknownIds:
    """Counts how many values of each field have id 0, over all rows that are added."""

    def __init__(self) -> None:
        self.fields: dict[str, Tally] = {}

    def add(
        self, field: str, codes: np.ndarray, values: pa.Array, ids: np.ndarray
    ) -> None:
        """Counts codes (n,) into distinct values (v,), whose ids (v,) are given."""
        tally = self.fields.setdefault(field, Tally())
        counts = np.bincount(codes, minlength=len(values))
        counts[is_missing(values)] = 0
        unknown = counts * (ids == 0)
        tally.values += int(counts.sum())
        tally.unknown += int(unknown.sum())
        if unknown.any():
            tally.example = tally.example or values[int(unknown.argmax())].as_py()

    def check(self, field: str, known: pa.Array) -> None:
        """Raises a ValueError if a field has values, but none that train has.

        Args:
            field: Name of the field.
            known: The values that train has, most frequent first.
        """
        tally = self.fields[field]
        if tally.unknown and tally.unknown == tally.values and len(known):
            raise ValueError(
                f"All {tally.values:,} values of field {field!r} are unknown: they "
                f"look like {tally.example!r}, those of train like "
                f"{known[0].as_py()!r}. Write them as train does, or score them as "
                "unknown by --allow-unknown (in Python: allow_unknown=True)."
            )

    def lines(self) -> Iterator[str]:
        """A line for each field with unknown values; a warning if they are many."""
        for field, tally in self.fields.items():
            if tally.unknown:
                warning = "warning: " if tally.share > WORRYING else ""
                yield (
                    f"{warning}{tally.share:.2%} of the values of field {field!r} are "
                    f"unknown, such as {tally.example!r}"
                )
