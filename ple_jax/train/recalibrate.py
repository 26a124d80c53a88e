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
KINDS: dict[str, type[Platt | Isotonic]] = {"platt": Platt, "isotonic": Isotonic}
TOLD = ("log_loss", "calibration", "calibration_error")  # before and after
Maps = Mapping[str, Platt | Isotonic]  # task -> what corrects its logits


@dataclasses.dataclass(frozen=True)
class Recalibration:
    """What corrects the logits of one run, or of several whose mean is taken.

    Attributes:
        tasks: In the order of the axis T.
        runs: The corrections of each run; tasks without one stay as they are.
    """

    tasks: Sequence[Task]
    runs: Sequence[Maps]

    def __call__(self, logits: np.ndarray) -> np.ndarray:  # (B, T) or (B, R, T)
        """The corrected logits (B, T): the mean of those of R runs."""
        if logits.ndim == 2:
            return self._of_run(logits, self.runs[0])
        pairs = zip(np.moveaxis(logits, 1, 0), self.runs, strict=True)
        each = [self._of_run(own, maps) for own, maps in pairs]
        return np.mean(each, axis=0, dtype=np.float64).astype(logits.dtype)

    def _of_run(self, logits: np.ndarray, maps: Maps) -> np.ndarray:
        new = np.array(logits)
        for i, task in enumerate(self.tasks):
            if task.name in maps:
                new[:, i] = maps[task.name].logits(logits[:, i])
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


def fit(
    method: str, logits: np.ndarray, rows: Examples, tasks: Sequence[Task]
) -> Recalibration:
    """Fits the corrections of a run on labelled rows, best validation.

    A task stays as it is, and is named, if all of its labels are alike, or if its
    scores rank them no better than chance: what corrects them would turn their order.

    Args:
        method: `platt` or `isotonic`.
        logits: Of the rows (B, T), by the best checkpoint.
        rows: Their labels.
        tasks: In the order of the axis T.
    """
    maps = dict[str, Platt | Isotonic]()
    for i, task in enumerate(tasks):
        if not task.is_binary:
            continue
        seen = rows.observed[:, i] & (rows.weights > 0)
        given = logits[seen, i], rows.labels[seen, i], rows.weights[seen]
        found = None
        if 0 < (given[1] > 0.5).sum() < len(given[1]):
            found = METHODS[method](*given)
        if found is not None and found.rises:
            maps[task.name] = found
        else:
            why = "one class" if found is None else "scores no better than chance"
            name = one_line(task.name)
            console.say(f"note: {name} is not recalibrated: validation has {why}")
    return Recalibration(tasks, [maps])


def to_record(recalibration: Recalibration, method: str) -> dict[str, Any]:
    """Plain values of a run's corrections, ready for JSON."""
    (maps,) = recalibration.runs
    plain = lambda value: np.asarray(value).tolist()
    each = {
        task: {k: plain(v) for k, v in m._asdict().items()} for task, m in maps.items()
    }
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
    kind = KINDS[record["method"]]
    of = lambda facts: kind(*(facts[name] for name in kind._fields))
    return {task: of(facts) for task, facts in record["tasks"].items()}
