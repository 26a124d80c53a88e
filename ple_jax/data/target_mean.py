r"""Means of each task's labels by value, shrunk to a prior and out of fold on train.

A value v is given p_v, shrunk to the mean m of all labels with strength a; with
domains, a value in domain d is given p_vd, shrunk to the value's own mean (see
`data.shrinkage`, which fits a to values and b to domains within values):

    p_v  = (s_v  + a m)   / (n_v  + a)
    p_vd = (s_vd + b p_v) / (n_vd + b)

A row of train has the sums of the other folds or, for a split by time, of the folds
before it: never its own label. Folds, not each row but one: that mean falls when the
row's own label rises, and tells it to a model that knows the value. m, a, b and scales
come from all of train and are the same for all rows, so they tell no row from another.

Reference: Micci-Barreca, SIGKDD Explorations 2001.
Differs from the paper: strengths are fitted to each task; means are out of fold.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from ple_jax.config.values import dataclass_from
from ple_jax.data.label_sums import (
    PARTS,
    Cells,
    Index,
    LabelSums,
    add_up,
    read_amounts,
    sums_of_others,
)
from ple_jax.data.shrinkage import fit_strength, logit, shrink
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


@dataclasses.dataclass(frozen=True)
class Prior:
    """What is the same for all values of a field, for one task.

    Attributes:
        task: Name of the task.
        mean: m; the mean label.
        strength: a, as a weight; inf means that values do not differ.
        domain_strength: b, as a weight; inf where the schema names no domain.
        scale: Root mean square of what is encoded, before it is divided by it.
    """

    task: str
    mean: float
    strength: float
    domain_strength: float
    scale: float = 1.0


@dataclasses.dataclass(frozen=True)
class TargetMeans:
    """The label means of one field by value and domain, fitted on train.

    Attributes:
        tasks: The tasks, in the order of the axis T.
        priors: The prior of each task.
        values: How many values the field has.
        domains: How many domains there are.
        keys: value * domains + domain of each pair that occurs (C,), ascending.
        n: Sums of weights (C, T).
        sums: Sums of weight * label (C, T).
    """

    tasks: tuple[Task, ...]
    priors: tuple[Prior, ...]
    values: int
    domains: int
    keys: np.ndarray
    n: np.ndarray
    sums: np.ndarray

    def encode(self, value: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Encodes values (B,) in domains (B,) as (B, T) float32.

        A binary task has (logit p - logit m) / scale, any other (p - m) / scale. A
        value of -1, which is missing or unknown to train, has the prior: 0.
        """
        encoded = self._of_value.take(value, axis=0)
        if self.domains > 1 and len(self.keys):
            at = self._index.find(value * self.domains + domain)
            of_pair = self._of_pair.take(at, axis=0)
            encoded = np.where(at[:, None] < 0, encoded, of_pair)
        return encoded

    @cached_property
    def _index(self) -> Index:
        return Index(self.keys, self.values * self.domains)

    @cached_property
    def _of_value(self) -> np.ndarray:  # (values + 1, T) float32, the prior at last
        n, sums = self._of_values
        encoded = _encoded(_value_means(n, sums, self.priors), self.priors, self.tasks)
        return np.r_[encoded, np.zeros((1, len(self.tasks)))].astype(np.float32)

    @cached_property
    def _of_pair(self) -> np.ndarray:  # (C, T) float32
        of_value = _value_means(*self._of_values, self.priors)
        prior = of_value.take(self.keys // self.domains, axis=0)
        means = _pair_means(self.n, self.sums, prior, self.priors)
        return _encoded(means, self.priors, self.tasks).astype(np.float32)

    @cached_property
    def _of_values(self) -> tuple[np.ndarray, np.ndarray]:  # (values, T) each
        value = self.keys // self.domains
        return _by_value(value, self.n, self.sums, self.values)

    def facts(self) -> dict[str, Any]:
        """Plain values, ready for JSON; all but keys, n and sums."""
        priors = [dataclasses.asdict(prior) for prior in self.priors]
        finite = lambda v: None if v == np.inf else v
        return {
            "values": self.values,
            "domains": self.domains,
            "priors": [{k: finite(v) for k, v in p.items()} for p in priors],
        }

    @classmethod
    def of(
        cls,
        tasks: tuple[Task, ...],
        facts: dict[str, Any],
        arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> "TargetMeans":
        """From what `facts` gave, and keys, n and sums."""
        infinite = lambda v: np.inf if v is None else v
        priors = [{k: infinite(v) for k, v in p.items()} for p in facts["priors"]]
        fitted = tuple(dataclass_from(Prior, prior, "prior") for prior in priors)
        return cls(tasks, fitted, facts["values"], facts["domains"], *arrays)


@dataclasses.dataclass(frozen=True)
class FoldMeans:
    """What the rows of train are given: means that never saw their own fold."""

    domains: int
    folds: int
    index: Index  # of (value * domains + domain) * folds + fold
    encoded: np.ndarray  # (C + 1, T) float32, the prior at last

    def encode(
        self, value: np.ndarray, domain: np.ndarray, fold: np.ndarray
    ) -> np.ndarray:
        """Encodes the values (B,) of train rows as (B, T) float32; -1 has the prior."""
        pair = value * self.domains + domain
        at = self.index.find(pair * self.folds + fold)
        return self.encoded.take(at, axis=0)


def fit_target_means(
    found: LabelSums,
    groups: Groups,
    tasks: tuple[Task, ...],
    ordered: bool,
) -> tuple[TargetMeans, FoldMeans]:
    """Fits priors to all values of train, and means to those that a vocabulary keeps.

    Args:
        found: The sums of labels.
        groups: What the values and domains are.
        tasks: The tasks, in the order of the axis T.
        ordered: Whether folds are in the order of time, so that a row may see the folds
            before its own alone.
    """
    domains = len(groups.domains)
    cells = found.cells(groups.values, groups.domains)
    pair, amounts = add_up(cells.value * domains + cells.domain, cells.amounts)
    priors = _fit_priors(pair, found, amounts, tasks, domains)
    cells = cells.pooled(groups.kept, groups.size)
    pair, amounts = add_up(cells.value * domains + cells.domain, cells.amounts)
    n, sums = read_amounts(found.columns, amounts)
    means = TargetMeans(tasks, priors, groups.size, domains, pair, n, sums)
    means = dataclasses.replace(means, priors=_scaled(means))
    return means, _fold_means(cells, found, means, ordered)


def _fit_priors(
    pair: np.ndarray,
    found: LabelSums,
    amounts: np.ndarray,
    tasks: Sequence[Task],
    domains: int,
) -> tuple[Prior, ...]:
    """Fits each task's prior to pairs (C,) of a value and a domain."""
    n, sums = read_amounts(found.columns, amounts)
    value = pair // domains
    size = int(value.max(initial=-1)) + 1
    of_value, one, priors = _by_value(value, n, sums, size), np.zeros(size, int), []
    for t, task in enumerate(tasks):
        binary, labels = task.is_binary, int(found.labels[t])
        squares = sums[:, t].sum() if binary else int(found.squares[t]) / PARTS
        n_v, sums_v = (x[:, t] for x in of_value)
        a, b = fit_strength(n_v, sums_v, one, squares, labels), np.inf
        if domains > 1:
            b = fit_strength(n[:, t], sums[:, t], value, squares, labels)
        mean = _mean_label(n_v.sum(), sums_v.sum(), labels, binary)
        priors.append(Prior(task.name, mean, a, b))
    return tuple(priors)


def _mean_label(n: float, total: float, labels: int, binary: bool) -> float:
    """The mean label; Jeffreys' prior keeps that of a binary task inside (0, 1)."""
    if not labels:
        return 0.5 if binary else 0.0
    one = n / labels if binary else 0.0  # the weight of a label
    return float((total + one / 2) / (n + one))


def _value_means(n: np.ndarray, sums: np.ndarray, priors: Sequence[Prior]):
    mean, strength = np.array([[p.mean, p.strength] for p in priors]).T
    return shrink(n, sums, mean, strength)


def _pair_means(
    n: np.ndarray, sums: np.ndarray, of_value: np.ndarray, priors: Sequence[Prior]
):
    return shrink(n, sums, of_value, np.array([p.domain_strength for p in priors]))


def _encoded(means: np.ndarray, priors: Sequence[Prior], tasks: Sequence[Task]):
    """Means (C, T) on the scale that the model reads, with the prior at 0."""
    columns = []
    for mean, prior, task in zip(means.T, priors, tasks, strict=True):
        on_scale = logit if task.is_binary else np.asarray
        columns.append((on_scale(mean) - on_scale(prior.mean)) / prior.scale)
    return np.stack(columns, axis=1)


def _scaled(means: TargetMeans) -> tuple[Prior, ...]:
    """The priors, with the root mean square over the labels of train as scale."""
    squares = means._of_pair.astype(np.float64) ** 2
    total = np.maximum(means.n.sum(axis=0), np.finfo(float).tiny)
    scales = np.sqrt((means.n * squares).sum(axis=0) / total)
    pairs = zip(means.priors, scales, strict=True)
    return tuple(dataclasses.replace(p, scale=float(s) or 1.0) for p, s in pairs)


def _fold_means(
    cells: Cells, found: LabelSums, means: TargetMeans, ordered: bool
) -> FoldMeans:
    """Encodes each cell by the sums of the other folds, or of those before it."""

    def unseen(group: np.ndarray, amounts: np.ndarray):
        others = sums_of_others(group, amounts, ordered)
        return read_amounts(found.columns, others)

    folds = found.folds
    in_fold = cells.value * folds + cells.fold
    order = np.argsort(in_fold)
    keys, amounts = add_up(in_fold[order], cells.amounts.take(order, axis=0))
    n, sums = unseen(keys // folds, amounts)
    of_value = _value_means(n, sums, means.priors)
    place = Index(keys, means.values * folds).find(in_fold)
    mean = of_value.take(place, axis=0)
    pair = cells.value * means.domains + cells.domain
    if means.domains > 1:
        n, sums = unseen(pair, cells.amounts)
        mean = _pair_means(n, sums, mean, means.priors)
    encoded = _encoded(mean, means.priors, means.tasks).astype(np.float32)
    whole = np.r_[encoded, np.zeros((1, len(means.tasks)), np.float32)]
    size = means.values * means.domains * folds
    index = Index(pair * folds + cells.fold, size)
    return FoldMeans(means.domains, folds, index, whole)


def _by_value(
    value: np.ndarray, n: np.ndarray, sums: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """n and sums (size, T) of values, from those of pairs (C, T) with values (C,)."""
    add = lambda column: np.bincount(value, weights=column, minlength=size)
    whole = lambda x: np.stack([add(column) for column in x.T], axis=1)
    return whole(n), whole(sums)
