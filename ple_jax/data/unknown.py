"""Counts the ids that train does not have, when rows are scored."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ple_jax.data.arrow import brief, is_missing


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
            seen, usual = brief(repr(tally.example)), brief(repr(known[0].as_py()))
            raise ValueError(
                f"All {tally.values:,} values of field {field!r} are unknown: they "
                f"look like {seen}, those of train like {usual}. Write them as train "
                "does, or score them as unknown by --allow-unknown (in Python: "
                "allow_unknown=True)."
            )

    def lines(self, worrying: float) -> Iterator[str]:
        """A line for each field with unknown values.

        Args:
            worrying: The share of unknown values above which the line is a warning.
        """
        for field, tally in self.fields.items():
            if tally.unknown:
                warning = "warning: " if tally.share > worrying else ""
                yield (
                    f"{warning}{tally.share:.2%} of the values of field {field!r} are "
                    f"unknown, such as {brief(repr(tally.example))}"
                )
