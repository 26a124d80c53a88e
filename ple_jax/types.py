"""The batch that crosses room borders, and the glossary of array axes.

Axis letters, used in every shape comment of this package:

    B  examples in a batch      T  tasks              E  experts (all groups)
    F  one-valued id columns    N  domains            G  gate groups
    L  padded length of a bag   D  input width        H  hidden width
    K  number columns           V  rows of a table    U  rows that a batch touches
"""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import numpy as np

PyTree = Any
Array = jax.Array | np.ndarray


class Touched(flax.struct.PyTreeNode):
    """The rows of a fused table that a batch reads, each of them once."""

    rows: Array  # (U,) int32, ascending; filled up with V, which is out of range
    slots: Array  # (B, S) int32: where in `rows` each of an example's S lookups is
    found: Array | None = (
        None  # (B, S, W): these rows, where they are looked up already
    )


class Batch(flax.struct.PyTreeNode):
    """One batch of examples; every leaf but `Touched.rows` has the leading axis B."""

    ids: Array  # (B, F) int32, in the order of `Layout.ids`; 0 is unknown
    bags: Mapping[str, Array]  # name -> (B, L) int32, padded with -1 at the end
    numbers: Array  # (B, K) float32, in the order of `Layout.numbers`
    domain: Array  # (B,) int32, below N
    labels: Array  # (B, T) float32; 0 where not observed
    observed: Array  # (B, T) bool: not padding, not missing, in the task's sample space
    weights: Array  # (B,) float32, of the examples; 1 unless the schema names a column
    # Fused table -> the rows it is updated by; a step looks for what is not there.
    touched: Mapping[str, Touched] = flax.struct.field(default_factory=dict)

    def at(self, step: Array) -> "Batch":
        """One of several batches, which have an axis of steps before all others."""
        return jax.tree.map(lambda leaf: leaf[step], self)


class Picks(flax.struct.PyTreeNode):
    """Several batches as rows of a split that lies on the device."""

    split: Batch  # all examples of the split, in the place of B
    rows: Array  # (steps, B) int32

    def at(self, step: Array) -> Batch:
        """One of the batches."""
        rows = self.rows[step]
        pick = lambda leaf: leaf.at[rows].get(mode="promise_in_bounds")
        return jax.tree.map(pick, self.split)


def path_names(path: tuple) -> list[str]:
    """The fields and keys that lead to a leaf."""
    return [getattr(p, "name", str(getattr(p, "key", p))) for p in path]
