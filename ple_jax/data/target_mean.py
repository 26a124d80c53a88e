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
import pathlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ple_jax.config.values import dataclass_from
from ple_jax.data.cells import PIECE, Index, end_of_piece
from ple_jax.data.shrinkage import logit, shrink
from ple_jax.data.spill import Spill
from ple_jax.data.vocabulary import READ_AT_ONCE, read_parquet, rows_of
from ple_jax.schema import Task


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


class Pairs(NamedTuple):
    """The sums of each value in each domain.

    Attributes:
        keys: value * domains + domain of each pair that occurs (C,), ascending.
        n: Sums of weights (C, T).
        sums: Sums of weight * label (C, T).
    """

    keys: np.ndarray
    n: np.ndarray
    sums: np.ndarray


class SavedPairs:
    """Those in a file; many are read when they are first used.

    Raises:
        ValueError: The file is damaged; names it.
    """

    def __init__(self, path: pathlib.Path, tasks: Sequence[Task], domains: int):
        self.path, self.tasks, self.domains = path, tasks, domains
        if rows_of(path) <= READ_AT_ONCE:
            _ = self._whole

    keys = property(lambda self: self._whole.keys)
    n = property(lambda self: self._whole.n)
    sums = property(lambda self: self._whole.sums)

    @cached_property
    def _whole(self) -> Pairs:
        table = read_parquet(self.path)
        of = lambda name: table[name].to_numpy()
        stack = lambda x: np.stack([of(f"{x}_{t.name}") for t in self.tasks], 1)
        keys = of("row").astype(np.int64) * self.domains + of("domain")
        return Pairs(keys, stack("n"), stack("sum"))


@dataclasses.dataclass(frozen=True)
class TargetMeans:
    """The label means of one field by value and domain, fitted on train.

    Attributes:
        tasks: The tasks, in the order of the axis T.
        priors: The prior of each task.
        values: How many values the field has.
        domains: How many domains there are.
        pairs: The sums of each pair that occurs.
        spill: Where that of tables goes which memory should not hold.
    """

    tasks: tuple[Task, ...]
    priors: tuple[Prior, ...]
    values: int
    domains: int
    pairs: "Pairs | SavedPairs"
    spill: Spill | None = None

    @property
    def keys(self) -> np.ndarray:  # (C,)
        """Those of the pairs."""
        return self.pairs.keys

    def encode(self, value: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Encodes values (B,) in domains (B,) as (B, T) float32.

        A binary task has (logit p - logit m) / scale, any other (p - m) / scale. A
        value of -1, which is missing or unknown to train, has the prior: 0.
        """
        of_value, of_pair = self.tables
        encoded = of_value.take(value, axis=0)
        if self.domains > 1 and len(self.keys):
            at = self._index.find(value * self.domains + domain)
            encoded = np.where(at[:, None] < 0, encoded, of_pair.take(at, axis=0))
        return encoded

    def index(self) -> None:
        """Builds what `encode` builds when it first needs it."""
        _ = self.tables, self._index

    @cached_property
    def _index(self) -> Index:
        return Index(self.keys, self.values * self.domains, self.spill)

    @cached_property
    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """What each value has, the prior at last, and each pair: (n, T) float32."""
        empty = self.spill.empty if self.spill else np.empty
        tasks, priors = self.tasks, self.priors
        of_value, of_pair = (
            empty(rows * len(tasks), np.float32).reshape(rows, len(tasks))
            for rows in (self.values + 1, len(self.keys))
        )
        for cells, values in self.pieces():
            value = self.keys[cells] // self.domains - values.start
            n, sums = self.pairs.n[cells], self.pairs.sums[cells]
            size = values.stop - values.start
            means = value_means(*by_value(value, n, sums, size), priors)
            of_value[values] = encoded(means, priors, tasks)
            means = pair_means(n, sums, means.take(value, axis=0), priors)
            of_pair[cells] = encoded(means, priors, tasks)
        of_value[-1] = 0
        return of_value, of_pair

    def pieces(self) -> Iterator[tuple[slice, slice]]:
        """Cells of whole values, with all values up to them; together all."""
        start = first = 0
        while len(self.keys) - start > PIECE:
            ahead = self.keys[start : start + 2 * PIECE] // self.domains
            end = start + end_of_piece(ahead)
            past = int(self.keys[end - 1]) // self.domains + 1
            yield slice(start, end), slice(first, past)
            start, first = end, past
        yield slice(start, len(self.keys)), slice(first, self.values)

    def facts(self) -> dict[str, Any]:
        """Plain values, ready for JSON; all but the pairs."""
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
        pairs: "Pairs | SavedPairs",
    ) -> "TargetMeans":
        """From what `facts` gave, and the pairs."""
        infinite = lambda v: np.inf if v is None else v
        priors = [{k: infinite(v) for k, v in p.items()} for p in facts["priors"]]
        fitted = tuple(dataclass_from(Prior, prior, "prior") for prior in priors)
        return cls(tasks, fitted, facts["values"], facts["domains"], pairs)


@dataclasses.dataclass(frozen=True)
class FoldMeans:
    """What the rows of train are given: means that never saw their own fold."""

    domains: int
    folds: int
    index: Index  # of (value * domains + domain) * folds + fold
    encoded: np.ndarray  # (C, T) float32

    def encode(
        self, value: np.ndarray, domain: np.ndarray, fold: np.ndarray
    ) -> np.ndarray:
        """Encodes the values (B,) of train rows as (B, T) float32; -1 has the prior."""
        pair = value * self.domains + domain
        at = self.index.find(pair * self.folds + fold)
        if not len(self.encoded):
            return np.zeros((len(at), self.encoded.shape[1]), np.float32)
        return np.where(at[:, None] < 0, np.float32(0), self.encoded.take(at, axis=0))


def value_means(n: np.ndarray, sums: np.ndarray, priors: Sequence[Prior]):
    """p_v of values (C, T), from their own sums."""
    mean, strength = np.array([[p.mean, p.strength] for p in priors]).T
    return shrink(n, sums, mean, strength)


def pair_means(
    n: np.ndarray, sums: np.ndarray, of_value: np.ndarray, priors: Sequence[Prior]
):
    """p_vd of pairs (C, T), from their own sums and the p_v of their values."""
    return shrink(n, sums, of_value, np.array([p.domain_strength for p in priors]))


def encoded(means: np.ndarray, priors: Sequence[Prior], tasks: Sequence[Task]):
    """Means (C, T) on the scale that the model reads, with the prior at 0."""
    columns = []
    for mean, prior, task in zip(means.T, priors, tasks, strict=True):
        on_scale = logit if task.is_binary else np.asarray
        columns.append((on_scale(mean) - on_scale(prior.mean)) / prior.scale)
    return np.stack(columns, axis=1)


def by_value(
    value: np.ndarray, n: np.ndarray, sums: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """n and sums (size, T) of values, from those of pairs (C, T) with values (C,)."""
    add = lambda column: np.bincount(value, weights=column, minlength=size)
    whole = lambda x: np.stack([add(column) for column in x.T], axis=1)
    return whole(n), whole(sums)
