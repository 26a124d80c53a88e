"""What the arrays of a batch hold, once a schema is fitted to its data."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ple_jax.schema import Task

if TYPE_CHECKING:  # data are prepared without JAX
    from ple_jax.types import Array


@dataclasses.dataclass(frozen=True)
class IdColumn:
    """A fitted column of `Batch.ids`: ids 0 .. rows - 1 of one table."""

    name: str
    table: str  # columns with the same table share its rows
    rows: int
    dim: int | None = None


@dataclasses.dataclass(frozen=True)
class Bag:
    """A fitted entry of `Batch.bags`: up to `length` ids of one table."""

    name: str
    table: str
    rows: int
    length: int
    dim: int | None = None


@dataclasses.dataclass(frozen=True)
class NumberColumn:
    """A fitted column of `Batch.numbers`.

    If `bins` is 0, the model reads the number as it is. Otherwise the number is a
    position p in [0, bins], and the model reads its piecewise-linear encoding

        clip(p - k, 0, 1)   for k = 0 .. bins - 1
    """

    name: str
    bins: int = 0


@dataclasses.dataclass(frozen=True)
class Scale:
    """The unit in which a task is learned: label = mean + deviation * learned label.

    Attributes:
        mean: Of a task's labels in train, in its sample space; 0 where its logits are
            logarithms, or of levels.
        deviation: Their standard deviation, or where logits are logarithms their mean;
            1 if all are alike, or levels.
        thresholds: Of an ordinal task, ascending: -logit of the share of labels above
            each level but the last.
    """

    mean: float = 0.0
    deviation: float = 1.0
    thresholds: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the arrays of a batch hold, after fitting.

    Labels and predictions are in their own units everywhere but in a training loss,
    which takes numbers in standard deviations of train, or in means of it. So tasks of
    unlike units weigh alike, and a network need not learn the size of a number.
    """

    ids: tuple[IdColumn, ...]
    bags: tuple[Bag, ...]
    numbers: tuple[NumberColumn, ...]
    tasks: tuple[Task, ...]
    domains: tuple[str, ...]  # names, in the order of the axis N
    scales: tuple[Scale, ...] = ()  # of the tasks; () learns all as they are

    @property
    def deviations(self) -> tuple[float, ...]:  # (T,)
        """The deviation of each task's labels that is 1 in a training loss."""
        return tuple(scale.deviation for scale in self.scales_of_tasks)

    @property
    def scales_of_tasks(self) -> tuple[Scale, ...]:  # (T,)
        """One scale a task."""
        return self.scales or (Scale(),) * len(self.tasks)

    def standardised(self, labels: "Array") -> "Array":  # (B, T) -> (B, T)
        """The labels that logits are to meet: (label - mean) / deviation."""
        if not self.scales:
            return labels
        mean, deviation = self._moments
        return (labels - mean) / deviation

    def in_units(self, logits: "Array") -> "Array":  # (B, T) -> (B, T)
        """Reverses `standardised`, for logits; those of binary tasks stay."""
        if not self.scales:
            return logits
        mean, deviation = self._moments
        return mean + deviation * logits

    @property
    def _moments(self) -> np.ndarray:  # (2, 1, T) float32
        moments = [(scale.mean, scale.deviation) for scale in self.scales]
        return np.array(moments, np.float32).T[:, None]
