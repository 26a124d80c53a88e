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
    """The distinct rows of a fused table that a batch reads."""

    rows: Array  # (U,) int32, ascending; padded with V; (D, U) of D slices of a batch
    slots: Array  # (B, S) int32: the place in `rows` of each lookup of an example
    embedded: Array | None = None  # (B, fields, W): what is read, if done already
    part: Array | None = None  # () int32: see `embeddings.sharded`
    buffers: PyTree = None  # what SparseCores read: see `embeddings.sparsecore`


class Batch(flax.struct.PyTreeNode):
    """A batch of examples. Every leaf but `Touched.rows` has the leading axis B."""

    ids: Array  # (B, F) int32, in the order of `Layout.ids`; 0 is unknown
    bags: Mapping[str, Array]  # name -> (B, L) int32, padded with -1 at the end
    numbers: Array  # (B, K) float32, in the order of `Layout.numbers`
    domain: Array  # (B,) int32, below N
    labels: Array  # (B, T) float32; 0 where not observed
    observed: Array  # (B, T) bool: not padding, not missing, in the task's sample space
    weights: Array  # (B,) float32; 1 unless the schema names a column of weights
    # Fused table -> the rows to update; the step finds those of tables not listed.
    touched: Mapping[str, Touched] = flax.struct.field(default_factory=dict)

    def at(self, step: Array) -> "Batch":
        """The batch of one step, out of batches with a leading axis of steps."""
        return jax.tree.map(lambda leaf: leaf[step], self)


class Picks(flax.struct.PyTreeNode):
    """Several batches, as row numbers of a split that lies on the device."""

    split: Batch  # all n examples of the split; n stands in the place of B
    rows: Array  # (steps, B) int32

    def at(self, step: Array) -> Batch:
        """The batch of one step."""
        rows = self.rows[step]
        pick = lambda leaf: leaf.at[rows].get(mode="promise_in_bounds")
        return jax.tree.map(pick, self.split)


def path_names(path: tuple) -> list[str]:
    """The names of the fields, keys and indices that lead to a leaf of a tree."""
    return [getattr(p, "name", str(getattr(p, "key", p))) for p in path]
