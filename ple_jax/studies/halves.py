"""Validation in two halves: one chooses among trials, the other says how good that was.

The best of many trials is best by luck too, so that its own score is too high. The half
that chose nothing has no such bias. Test is out of sight.
"""

import dataclasses
from functools import cached_property

import numpy as np

from ple_jax.data.examples import Examples
from ple_jax.data.store import Prepared

ESTIMATE = "estimate"
SEED = 0  # of which rows are in which half


@dataclasses.dataclass(frozen=True)
class Halves(Prepared):
    """A data set whose validation split chooses with one half of its rows.

    Its splits are train, validation (the half that chooses) and `estimate` (the other).
    """

    @classmethod
    def of(cls, data: Prepared) -> "Halves":
        """The same data set, seen so."""
        return cls(data.directory, data.facts, data.encoder)

    @property
    def splits(self) -> tuple[str, ...]:
        """Train and both halves."""
        return "train", "validation", ESTIMATE

    def split(self, name: str) -> Examples:
        """The examples of train, or of one half of validation."""
        return super().split("train") if name == "train" else self._halves[name]

    @cached_property
    def _halves(self) -> dict[str, Examples]:
        whole = super().split("validation")
        chooses = choosing_rows(whole)
        of = lambda rows: Examples.of({k: v[rows] for k, v in whole.arrays().items()})
        return {"validation": of(chooses), ESTIMATE: of(~chooses)}


def choosing_rows(examples: Examples) -> np.ndarray:  # (B,) bool
    """Which rows choose: one half of the users, or else of the rows of equal labels."""
    random = np.random.default_rng(SEED)
    if examples.user is not None:
        users, which = np.unique(examples.user, return_inverse=True)
        return (random.permutation(len(users)) % 2 == 0)[which.ravel()]
    known = np.where(examples.observed, examples.labels, -1)
    # Real labels are all different: then every second row of their order.
    _, kinds = np.unique(known, axis=0, return_inverse=True)
    order = np.lexsort((random.permutation(len(known)), kinds.ravel()))
    chooses = np.zeros(len(known), bool)
    chooses[order[::2]] = True
    return chooses
