"""Scores a split in order and measures the scores."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from ple_jax.checks import check_known
from ple_jax.data.loader import batches_in_order
from ple_jax.data.store import Prepared
from ple_jax.metrics import exact
from ple_jax.parallel.mesh import batch_shardings
from ple_jax.schema import Layout
from ple_jax.types import Batch, PyTree

Batches = Iterable[tuple[Batch, int]]  # padded batches, and their real rows
Score = Callable[[PyTree, Batch], jax.Array]  # (variables, batch) -> logits (B, T)


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Scores whole splits in batches of one shape.

    The last batch is padded, so that a row scores the same to the bit, whichever rows
    share its batch.
    """

    score: Score
    mesh: jax.sharding.Mesh
    data: Prepared
    batch_size: int

    def logits(self, variables: PyTree, batches: Batches) -> np.ndarray:  # (rows, T)
        """Logits of every real row of `batches`, in order."""
        scored = [
            (self.score(variables, self._placed(batch)), rows)
            for batch, rows in batches
        ]
        return np.concatenate([np.asarray(logits)[:rows] for logits, rows in scored])

    def _placed(self, batch: Batch) -> Batch:
        return jax.device_put(batch, batch_shardings(self.mesh, batch, steps=0))

    def of_split(self, variables: PyTree, name: str) -> np.ndarray:  # (rows, T)
        """Logits of a whole split; (rows, R, T) if `score` is that of R trials."""
        split = self.data.split(name)
        return self.logits(variables, batches_in_order(split, self.batch_size))

    def measured(self, logits: np.ndarray, name: str) -> dict[str, Any]:
        """Exact metrics of a split's logits (rows, T), per task and domain x task."""
        split, layout = self.data.split(name), self.data.layout
        return exact.report(
            logits,
            split.labels,
            split.observed,
            split.weights,
            split.domain,
            layout.tasks,
            layout.domains,
            user=split.user,
        )

    def report(self, variables: PyTree, name: str) -> dict[str, Any]:
        """Exact metrics of a split, per task and per domain x task."""
        return self.measured(self.of_split(variables, name), name)


LOWER_IS_BETTER = ("log_loss", "normalised_entropy", "mse", "rmse")
HIGHER_IS_BETTER = ("auc_roc", "auc_pr", "grouped_auc")


def check_metric(metric: str, layout: Layout) -> None:
    """Raises a ValueError for an unknown metric or task, with the nearest."""
    name, _, task = metric.partition("/")
    check_known(name, [*HIGHER_IS_BETTER, *LOWER_IS_BETTER], "metric (train.metric)")
    if task:
        check_known(task, [t.name for t in layout.tasks], "task (train.metric)")


def chosen_metric(measured: dict[str, Any], metric: str) -> float:
    """The number that chooses a checkpoint: one task's, or the mean over all.

    Raises:
        ValueError: The metric is undefined, so it cannot choose.
    """
    name, _, task = metric.partition("/")
    tasks = measured["tasks"]
    values = {
        k: tasks[k].get(name) for k in ([task] if task else tasks) if name in tasks[k]
    }
    if undefined := [k for k, v in values.items() if v is None] or not values:
        raise ValueError(
            f"train.metric = {metric!r} is undefined on validation for {undefined}: "
            "it needs examples of both classes."
        )
    return sum(values.values()) / len(values)


def score_of(value: float, metric: str) -> float:
    """The value as a score, of which higher is better."""
    return -value if metric.partition("/")[0] in LOWER_IS_BETTER else value
