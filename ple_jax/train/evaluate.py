"""Scores a split in order and measures the scores."""

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from ple_jax.checks import check_known
from ple_jax.data.examples import Examples
from ple_jax.data.loader import batches_in_order
from ple_jax.data.store import Prepared
from ple_jax.layout import Layout
from ple_jax.metrics import exact, joint, whole
from ple_jax.metrics.certainty import certain_mean
from ple_jax.metrics.over_domains import LOWER_IS_BETTER, REDUCTIONS
from ple_jax.parallel import processes
from ple_jax.parallel.mesh import (
    batch_shardings,
    fetched,
    fetched_by_first,
    put_parts,
)
from ple_jax.tasks import LOSSES
from ple_jax.train import gates
from ple_jax.train.recalibrate import Recalibration
from ple_jax.types import Batch, PyTree

Batches = Iterable[tuple[Batch, int]]  # padded batches, and their real rows
R = TypeVar("R")
AHEAD = 8  # batches; each holds its inputs on the device until it is scored
Score = Callable[[PyTree, Batch], jax.Array]  # (variables, batch) -> logits (B, T)


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Scores whole splits in batches of one shape.

    The last batch is padded, so that a row scores the same to the bit, whichever rows
    share its batch. Of processes that share batches the first alone has all rows'
    logits, and the others have none.
    """

    score: Score
    mesh: jax.sharding.Mesh
    data: Prepared
    batch_size: int
    recalibration: Recalibration | None = None  # what corrects logits, if anything
    watch: Callable[[PyTree, Batch], tuple[jax.Array, PyTree]] | None = None
    prepare: Callable[[Batch], Batch] | None = None  # what the host does to batches

    def logits(self, variables: PyTree, batches: Batches) -> np.ndarray:  # (rows, T)
        """Logits of every real row of `batches`, in order, recalibrated."""
        if self.recalibration is None:
            return self.plain_logits(variables, batches)
        domain = list[np.ndarray]()

        def noted() -> Batches:
            for batch, rows in batches:
                domain.append(np.asarray(batch.domain)[:rows])
                yield batch, rows

        plain = self.plain_logits(variables, noted())
        return self.recalibration(plain, np.concatenate(domain))

    def plain_logits(self, variables: PyTree, batches: Batches) -> np.ndarray:
        """The same as the model has them: (rows, T), or (rows, R, T) of R trials."""
        scored = (
            (self.score(variables, self._placed(batch)), rows)
            for batch, rows in batches
        )
        each = [fetched_by_first(one)[:rows] for one, rows in behind(scored)]
        return np.concatenate(each)

    def watched(
        self, variables: PyTree, name: str
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits of a whole split as `of_split`, and the mean weights of its gates.

        These are (G, E) by path of the level; (R, G, E) of R trials.
        """
        assert self.watch is not None
        split, part = self.data.split(name), processes.part()
        watched = (
            (*self.watch(variables, self._placed(batch)), rows)
            for batch, rows in batches_in_order(split, self.batch_size, part)
        )
        logits, means = [], []
        for of_batch, of_gates, rows in behind(watched):
            logits.append(fetched_by_first(of_batch)[:rows])
            means.append(({p: fetched(m) for p, m in of_gates.items()}, rows))
        return np.concatenate(logits), gates.average(means)

    def _placed(self, batch: Batch) -> Batch:
        batch = batch if self.prepare is None else self.prepare(batch)
        return put_parts(batch, batch_shardings(self.mesh, batch, steps=0))

    def of_split(self, variables: PyTree, name: str) -> np.ndarray:  # (rows, T)
        """Logits of a whole split; (rows, R, T) if `score` is that of R trials."""
        split = self.data.split(name)
        batches = batches_in_order(split, self.batch_size, processes.part())
        return self.logits(variables, batches)

    def measured(self, logits: np.ndarray, name: str) -> dict[str, Any]:
        """Exact metrics of a split's logits (rows, T), per task and domain x task.

        "joint" has those of tasks with `entire_space` over all examples: see
        `metrics.joint`.
        """
        return self._of_rows(exact.report, logits, self.data.split(name))

    def _of_rows(
        self, report: Callable[..., dict], logits: np.ndarray, rows: Examples
    ) -> dict[str, Any]:
        layout = self.data.layout
        each = logits, rows.labels, rows.observed, rows.weights
        found = report(*each, rows.domain, layout.tasks, layout.domains, user=rows.user)
        of_both = joint.report(*each, layout.tasks, rows.user)
        return finite({**found, "joint": of_both} if of_both else found)

    def report(self, variables: PyTree, name: str) -> dict[str, Any]:
        """Exact metrics of a split and their intervals, per task and domain x task."""
        rows = self.data.split(name)
        batches = batches_in_order(rows, self.batch_size)
        return self.report_of(self.plain_logits(variables, batches), rows)

    def report_of(self, logits: np.ndarray, rows: Examples) -> dict[str, Any]:
        """The same of any labelled examples, by what `plain_logits` has for them.

        "before" has what the calibration of recalibrated tasks would be without that.
        """
        if self.recalibration is None:
            return self._of_rows(whole.report, logits, rows)
        corrected = self.recalibration(logits, np.asarray(rows.domain))
        found = self._of_rows(whole.report, corrected, rows)
        return {**found, "before": finite(self.recalibration.before(logits, rows))}


def behind(results: Iterable[R]) -> Iterator[R]:
    """The results in order, each once `AHEAD` more are on their way to the device."""
    waiting = deque[R]()
    for result in results:
        waiting.append(result)
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def finite(tree: Any) -> Any:
    """The tree with None for every NaN and infinity, for which JSON has no word."""
    if isinstance(tree, dict):
        return {key: finite(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [finite(value) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return tree


NEEDS = {"grouped_auc": "users with both classes"}
NEEDS |= dict.fromkeys(
    ("rmse", "mse", "mae", "huber", "pinball", "poisson_deviance"), "examples"
)


CERTAIN = "certain"  # the mean over tasks by how certain each one's metric is


class Choice(NamedTuple):
    """The parts of `train.metric`: `REDUCTION:METRIC/TASK`, or `certain:METRIC`.

    A task's name is all that follows the first slash, so that it may be any text.
    """

    # "macro" or "worst" over domains, "certain" over tasks, or "": a plain mean.
    reduction: str
    name: str  # of the metric
    task: str  # "" takes the mean over the tasks that have the metric

    @classmethod
    def of(cls, metric: str) -> "Choice":
        """Reads `METRIC`, and what may stand on both sides of it."""
        left, _, task = metric.partition("/")
        reduction, colon, name = left.rpartition(":")
        if colon:
            known = [*REDUCTIONS, CERTAIN]
            check_known(reduction, known, "mean over domains or tasks (train.metric)")
        return cls(reduction, name, task)

    def __str__(self) -> str:
        before = f"{self.reduction}:" if self.reduction else ""
        return before + self.name + (f"/{self.task}" if self.task else "")


def resolve_metric(metric: str, layout: Layout) -> str:
    """The metric with `auto` replaced: by `auc_roc`, or if no task is binary an error.

    Raises:
        ValueError: The metric, its task, or what it does over domains is unknown, or no
            task has the metric; names the nearest.
    """
    asked = Choice.of(metric)
    losses: dict[str, str] = {t.name: t.loss for t in layout.tasks}
    if asked.task:
        hint = f"; a mean over domains is {asked.task}:{asked.name}"
        hint = hint if asked.task in REDUCTIONS else ""
        check_known(asked.task, losses, f"task (train.metric{hint})")
        losses = {asked.task: losses[asked.task]}
    if asked.reduction == CERTAIN:  # counts of both classes say how certain one is
        is_binary = {t.name: t.is_binary for t in layout.tasks}
        losses = {k: v for k, v in losses.items() if is_binary[k]}
    each = [of.metrics for loss, of in LOSSES.items() if loss in losses.values()]
    known = list(dict.fromkeys(name for names in each for name in names))
    what = f"metric of {', '.join(losses)} (train.metric)"
    check_known(asked.name, ["auto", *known], what)
    return str(asked._replace(name=known[0]) if asked.name == "auto" else asked)


def chosen_metric(measured: dict[str, Any], metric: str) -> float:
    """The number that chooses a checkpoint: one task's, or the mean over all with it.

        METRIC          mean_t m_t
        macro:METRIC    mean_t mean_n m_tn    over the domains n where it is defined
        worst:METRIC    mean_t min_n m_tn     max_n where lower is better
        certain:METRIC  sum_t w_t m_t / sum_t w_t    w_t of `metrics.certainty`

    A domain with one class has no AUC, and stays without: labels do not change. So does
    a task with one class if it is `certain`.

    Raises:
        ValueError: The metric is undefined, so it cannot choose.
    """
    reduction, name, task = asked = Choice.of(metric)
    tasks = {k: v for k, v in measured["tasks"].items() if task in ("", k)}
    values = {k: v[name] for k, v in tasks.items() if name in v}
    if reduction == CERTAIN:
        mean = certain_mean(tasks, name)
        values = {k: mean for k in values}
    elif reduction:
        each = measured["domains"].values()
        reduce = REDUCTIONS[reduction]
        values = {k: reduce(name, [of[k][name] for of in each]) for k in values}
    undefined = [k for k, v in values.items() if v is None] if values else [*tasks]
    if undefined:
        where = " in some domain" if reduction in REDUCTIONS else ""
        raise ValueError(
            f"train.metric = {str(asked)!r} is undefined on validation for "
            f"{', '.join(undefined)}: it needs "
            f"{NEEDS.get(name, 'examples of both classes')}{where}, and finite numbers."
        )
    return sum(values.values()) / len(values)


def score_of(value: float, metric: str) -> float:
    """The value as a score, of which higher is better."""
    return -value if Choice.of(metric).name in LOWER_IS_BETTER else value
