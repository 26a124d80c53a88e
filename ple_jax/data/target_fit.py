"""Fits target means to the sums of labels of train, a piece of the values at a time."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ple_jax.data.cells import (
    Cells,
    Index,
    add_up,
    by_values,
    pooled,
    sums_of_others,
)
from ple_jax.data.label_sums import PARTS, LabelSums, read_amounts
from ple_jax.data.shrinkage import Variation, fit_strength
from ple_jax.data.spill import Spill, stack
from ple_jax.data.target_mean import (
    FoldMeans,
    Pairs,
    Prior,
    TargetMeans,
    by_value,
    encoded,
    pair_means,
    value_means,
)
from ple_jax.schema import Task


@dataclasses.dataclass(frozen=True)
class Groups:
    """The values and domains that means are fitted to.

    Attributes:
        values: All values of train, most frequent first.
        domains: Names of the domains; one empty name if there are none.
        kept: How many of the most frequent values have a mean of their own.
        size: How many values have a mean: `kept`, or one more, which pools the rest.
    """

    values: pa.Array
    domains: pa.Array
    kept: int
    size: int


def fit_target_means(
    found: LabelSums,
    groups: Groups,
    tasks: tuple[Task, ...],
    ordered: bool,
    spill: Spill | None = None,
) -> tuple[TargetMeans, FoldMeans]:
    """Fits priors to all values of train, and means to those that a vocabulary keeps.

    Args:
        found: The sums of labels.
        groups: What the values and domains are.
        tasks: The tasks, in the order of the axis T.
        ordered: Whether folds are in the order of time, so that a row may see the folds
            before its own alone.
        spill: Where that goes which memory should not hold.
    """
    domains = len(groups.domains)
    cells = found.cells(groups.values, groups.domains)
    priors = _fit_priors(by_values(cells), found, tasks, domains)
    known = lambda: by_values(pooled(cells, groups.kept, groups.size))
    keys, n, sums = stack(_pairs(known(), found, domains), spill)
    pairs = Pairs(keys, n, sums)
    means = TargetMeans(tasks, priors, groups.size, domains, pairs, spill)
    means = dataclasses.replace(means, priors=_scaled(means))
    return means, _fold_means(known(), found, means, ordered)


def _pairs(pieces: Iterable[Cells], found: LabelSums, domains: int) -> Iterator[Pairs]:
    """Those of each piece."""
    for piece in pieces:
        pair, amounts = add_up(piece.value * domains + piece.domain, piece.amounts)
        yield Pairs(pair, *read_amounts(found.columns, amounts))


class Evidence(NamedTuple):
    """What a prior is fitted to, of one task. That of several parts adds up.

    Attributes:
        values: How values vary.
        totals: N, S and sum_v n_v^2.
        pairs: How domains vary within values.
        n: Sum of the weights.
        total: Sum of weight * label, by values.
        sums: The same, by pairs.
    """

    values: Variation
    totals: np.ndarray
    pairs: Variation
    n: float
    total: float
    sums: float

    @classmethod
    def of(
        cls,
        of_values: tuple[np.ndarray, np.ndarray],
        of_pairs: tuple[np.ndarray, np.ndarray],
        value: np.ndarray,
    ) -> "Evidence":
        """That of n and sums of values (V,), and of pairs (C,) of these values."""
        n, sums = of_values
        one = np.zeros(len(n), int)
        of_all = lambda x: np.bincount(one, weights=x, minlength=1)[0]
        return cls(
            Variation.of(n, sums, one),
            np.array([of_all(n), of_all(sums), of_all(n**2)]),
            Variation.of(*of_pairs, value),
            n.sum(),
            sums.sum(),
            of_pairs[1].sum(),
        )

    def plus(self, other: "Evidence") -> "Evidence":
        """That of both, which have no value in common."""
        values, pairs = self.values.plus(other.values), self.pairs.plus(other.pairs)
        n, total, sums = (a + b for a, b in zip(self[3:], other[3:], strict=True))
        return Evidence(values, self.totals + other.totals, pairs, n, total, sums)


def _fit_priors(
    pieces: Iterable[Cells], found: LabelSums, tasks: Sequence[Task], domains: int
) -> tuple[Prior, ...]:
    """Fits each task's prior to all cells."""
    whole: list[Evidence] = []
    first = 0
    for pair, n, sums in _pairs(pieces, found, domains):
        value = pair // domains - first
        size = int(value.max(initial=-1)) + 1
        n_v, sums_v = by_value(value, n, sums, size)
        mine = [
            Evidence.of((n_v[:, t], sums_v[:, t]), (n[:, t], sums[:, t]), value)
            for t in range(len(tasks))
        ]
        both = zip(whole, mine, strict=True) if whole else ()
        whole = [a.plus(b) for a, b in both] or mine
        first += size
    pairs = enumerate(zip(tasks, whole, strict=True))
    return tuple(_prior(task, e, found, t, domains) for t, (task, e) in pairs)


def _prior(task: Task, of: Evidence, found: LabelSums, t: int, domains: int) -> Prior:
    labels = int(found.labels[t])
    squares = of.sums if task.is_binary else int(found.squares[t]) / PARTS
    values = of.values.under_one(of.totals) if of.values.groups else of.values
    a, b = fit_strength(values, squares, labels), np.inf
    if domains > 1:
        b = fit_strength(of.pairs, squares, labels)
    mean = _mean_label(of.n, of.total, labels, task.is_binary)
    return Prior(task.name, mean, a, b)


def _mean_label(n: float, total: float, labels: int, binary: bool) -> float:
    """The mean label; Jeffreys' prior keeps that of a binary task inside (0, 1)."""
    if not labels:
        return 0.5 if binary else 0.0
    one = n / labels if binary else 0.0  # the weight of a label
    return float((total + one / 2) / (n + one))


def _scaled(means: TargetMeans) -> tuple[Prior, ...]:
    """The priors, with the root mean square over the labels of train as scale."""
    of_pair, sums = means.tables[1], np.zeros((2, len(means.tasks)))
    for cells, _ in means.pieces():
        n, squares = means.pairs.n[cells], of_pair[cells].astype(np.float64) ** 2
        sums += (n * squares).sum(axis=0), n.sum(axis=0)
    scales = np.sqrt(sums[0] / np.maximum(sums[1], np.finfo(float).tiny))
    pairs = zip(means.priors, scales, strict=True)
    return tuple(dataclasses.replace(p, scale=float(s) or 1.0) for p, s in pairs)


def _fold_means(
    pieces: Iterable[Cells], found: LabelSums, means: TargetMeans, ordered: bool
) -> FoldMeans:
    """Encodes each cell by the sums of the other folds, or of those before it."""
    folds, priors = found.folds, means.priors

    def unseen(group: np.ndarray, amounts: np.ndarray):
        others = sums_of_others(group, amounts, ordered)
        return read_amounts(found.columns, others)

    def of_piece(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        in_fold = cells.value * folds + cells.fold
        order = np.argsort(in_fold)
        keys, amounts = add_up(in_fold[order], cells.amounts.take(order, axis=0))
        n, sums = unseen(keys // folds, amounts)
        of_value = value_means(n, sums, priors)
        mean = of_value.take(np.searchsorted(keys, in_fold), axis=0)
        pair = cells.value * means.domains + cells.domain
        if means.domains > 1:
            n, sums = unseen(pair, cells.amounts)
            mean = pair_means(n, sums, mean, priors)
        whole = encoded(mean, priors, means.tasks).astype(np.float32)
        return pair * folds + cells.fold, whole

    keys, whole = stack(map(of_piece, pieces), means.spill)
    index = Index(keys, means.values * means.domains * folds, means.spill)
    return FoldMeans(means.domains, folds, index, whole)
