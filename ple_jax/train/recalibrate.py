"""Recalibration as the last step of a training: fitted on validation, kept with a run.

Each binary task has a rising function of its own logit, in its own sample space, so the
chance of a task and of those that it is given stays the product of what is served.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ple_jax.data.examples import Examples
from ple_jax.metrics import exact
from ple_jax.metrics.recalibration import METHODS, Isotonic, Platt
from ple_jax.runs.directory import Run
from ple_jax.show import console
from ple_jax.show.escape import one_line
from ple_jax.tasks import Task

NONE, RECORD = "none", "recalibration"  # the knob when off; where results keep it
TOLD = ("log_loss", "calibration", "calibration_error")  # before and after
LEAST = 20  # rows of the rarer class, for which a domain has a correction of its own
Map = Platt | Isotonic
Maps = Mapping[str, Sequence[Map]]  # task -> what corrects it: one, or one a domain


@dataclasses.dataclass(frozen=True)
class Recalibration:
    """What corrects the logits of one run, or of several whose mean is taken.

    Attributes:
        tasks: In the order of the axis T.
        runs: The corrections of each run; tasks without one stay as they are.
    """

    tasks: Sequence[Task]
    runs: Sequence[Maps]

    def __call__(
        self,
        logits: np.ndarray,  # (B, T), or (B, R, T)
        domain: np.ndarray,  # (B,)
    ) -> np.ndarray:  # (B, T)
        """The corrected logits: the mean of those of R runs."""
        if logits.ndim == 2:
            return self._of_run(logits, domain, self.runs[0])
        pairs = zip(np.moveaxis(logits, 1, 0), self.runs, strict=True)
        each = [self._of_run(own, domain, maps) for own, maps in pairs]
        return np.mean(each, axis=0, dtype=np.float64).astype(logits.dtype)

    def _of_run(self, logits: np.ndarray, domain: np.ndarray, maps: Maps) -> np.ndarray:
        new = np.array(logits)
        for i, task in enumerate(self.tasks):
            each = maps.get(task.name, ())
            for one, rows in zip(each, _parts(domain, len(each)), strict=True):
                new[rows, i] = one.logits(logits[rows, i])
        return new

    def before(self, logits: np.ndarray, rows: Examples) -> dict[str, Any]:
        """Task -> metric -> value of what is corrected, without the correction."""
        plain = logits if logits.ndim == 2 else logits.mean(axis=1)
        given = plain, rows.labels, rows.observed, rows.weights, None
        found = exact.each_task(exact.measure, *given, self.tasks, ("all",), None)
        changed = {name for maps in self.runs for name in maps}
        return {
            task: {name: found["tasks"][task][name] for name in TOLD}
            for task in found["tasks"]
            if task in changed
        }


def _parts(domain: np.ndarray, number: int) -> list[Any]:
    """The rows of each domain, or all rows as one part."""
    if number < 2:
        return [slice(None)] * number
    order = np.argsort(domain, kind="stable")
    return np.split(order, np.searchsorted(domain[order], np.arange(1, number)))


def fit(
    method: str,
    logits: np.ndarray,
    rows: Examples,
    tasks: Sequence[Task],
    domains: int = 1,
) -> Recalibration:
    """Fits the corrections of a run on labelled rows, best validation.

    A task stays as it is, and is named, if all of its labels are alike, or if its
    scores rank them no better than chance: what corrects them would turn their order.

    Args:
        method: `platt` or `isotonic`.
        logits: Of the rows (B, T), by the best checkpoint.
        rows: Their labels.
        tasks: In the order of the axis T.
        domains: If above 1, each of so many has a correction of its own. One with
            fewer than 20 rows of either class has that of all rows.
    """
    maps = dict[str, Sequence[Map]]()
    for i, task in enumerate(tasks):
        if not task.is_binary:
            continue
        seen = np.flatnonzero(rows.observed[:, i] & (rows.weights > 0))
        given = logits[seen, i], rows.labels[seen, i], rows.weights[seen]
        whole = _fit(method, *given, least=1)
        if whole is None:
            why = "validation has one class, or ranks it no better than chance"
            console.say(f"note: {one_line(task.name)} is not recalibrated: {why}")
            continue
        of = lambda part, given=given: (each[part] for each in given)
        parts = _parts(np.asarray(rows.domain)[seen], domains) if domains > 1 else []
        maps[task.name] = [
            _fit(method, *of(part), least=LEAST) or whole for part in parts
        ] or [whole]
    return Recalibration(tasks, [maps])


def _fit(
    method: str,
    logits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    *,
    least: int,
) -> Map | None:
    """A correction that rises; None if there is none, or a class has fewer rows."""
    positives = int((labels > 0.5).sum())
    if min(positives, len(labels) - positives) < least:
        return None
    found = METHODS[method].fit(logits, labels, weights)
    return found if found.rises else None


def to_record(recalibration: Recalibration, method: str) -> dict[str, Any]:
    """Plain values of a run's corrections, ready for JSON."""
    (maps,) = recalibration.runs
    plain = lambda value: np.asarray(value).tolist()
    facts = lambda one: {name: plain(value) for name, value in one._asdict().items()}
    each = {task: [facts(one) for one in of] for task, of in maps.items()}
    return {"method": method, "tasks": each}


def of_runs(runs: Sequence[Run]) -> Recalibration | None:
    """What corrects the logits of finished runs; None if nothing does.

    Raises:
        ValueError: A result is not as it was written.
    """
    each = [_maps_of(run) for run in runs]
    return Recalibration(runs[0].data.layout.tasks, each) if any(each) else None


def _maps_of(run: Run) -> Maps:
    if run.experiment.train.recalibrate == NONE:
        return {}
    result = run.result or {}
    if "step" not in result:
        console.say_once(
            f"note: {run.directory} is not recalibrated, since it is not finished"
        )
    record = result.get(RECORD, {"method": "platt", "tasks": {}})
    kind = METHODS[record["method"]]
    of = lambda facts: kind(*(facts[name] for name in kind._fields))
    return {task: [of(one) for one in each] for task, each in record["tasks"].items()}
