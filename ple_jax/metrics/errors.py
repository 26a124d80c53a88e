"""Metrics of tasks whose label is a number: weighted means of each example's error.

    mse               (p - y)^2, and its root rmse
    mae               |p - y|
    huber             e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2)
    pinball           max(q (y - p), (q - 1) (y - p))
    coverage_gap      [y <= p] - q: 0 is ideal
    poisson_deviance  2 (y log(y / p) - y + p)

of predictions p and labels y, in the unit of the label, with e = p - y. For amounts,
`calibration` is sum w p / sum w y: 1 is ideal.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from ple_jax.tasks import Task

Measured = dict[str, float | int | None]
Error = Callable[[Any, Any], Any]  # (predictions (B,), labels (B,)) -> (B,)
# Loss -> the means that are measured. The first is that of a training epoch.
MEANS = {
    "squared": ("mse",),
    "huber": ("huber", "mae", "mse"),
    "quantile": ("pinball", "coverage_gap"),
    "poisson": ("poisson_deviance", "mse"),
    "ordinal": ("mse",),
    "weighted_logistic": ("mse",),
}
# Mean -> the power of the unit of labels that it is in.
POWERS = {"mse": 2, "huber": 2, "pinball": 1, "poisson_deviance": 1}


def errors(task: Task, xp: ModuleType = np) -> dict[str, Error]:
    """Name -> error of each example, for a task's means; in NumPy or `jax.numpy`."""
    return {name: _error(name, task, xp) for name in MEANS[task.loss]}


def names(task: Task) -> list[str]:
    """The names of all metrics of a task that have an interval."""
    roots = ["rmse"] if "mse" in MEANS[task.loss] else []
    ratios = ["calibration"] if task.kind.link == "log" else []
    return [*MEANS[task.loss], *roots, *ratios]


def _error(name: str, task: Task, xp: ModuleType) -> Error:
    if name == "huber":
        return lambda p, y: _huber(abs(p - y), task.option("delta"), xp)
    if name in ("pinball", "coverage_gap"):
        q = task.option("quantile")
        if name == "pinball":
            return lambda p, y: xp.maximum(q * (y - p), (q - 1) * (y - p))
        return lambda p, y: (y <= p) - q
    if name == "poisson_deviance":
        return lambda p, y: 2 * (y * xp.log(xp.where(y > 0, y, p) / p) - y + p)
    return {"mse": lambda p, y: (p - y) ** 2, "mae": lambda p, y: abs(p - y)}[name]


def _huber(size: Any, delta: float, xp: ModuleType) -> Any:
    near = xp.minimum(size, delta)
    return near * (size - near / 2)


def measure(
    task: Task,
    predictions: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    weights: np.ndarray,  # (B,)
) -> Measured:
    """All metrics of one task on observed examples."""
    p, y, w = (np.asarray(a, np.float64) for a in (predictions, labels, weights))
    total = float(np.sum(w))
    sums = {name: float(np.sum(w * of(p, y))) for name, of in errors(task).items()}
    found = measured({k: s / total if total else None for k, s in sums.items()}, len(y))
    if task.kind.link == "log":
        actual = float(np.sum(w * y))
        found["calibration"] = float(np.sum(w * p)) / actual if actual else None
    return found


def measured(means: Mapping[str, float | None], examples: int) -> Measured:
    """The metrics that follow from means: they, and RMSE from MSE."""
    found: Measured = dict(means)
    if "mse" in means:
        mse = means["mse"]
        found["rmse"] = None if mse is None else mse**0.5
    return {**found, "examples": examples}


def influence(
    name: str,
    task: Task,
    predictions: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    weights: np.ndarray,  # (B,)
) -> tuple[float | None, np.ndarray | None]:
    """A metric's value, and its derivative by the weight of each example (B,).

        d mean = w (e - mean) / sum w,    d rmse = d mse / (2 rmse)
        d calibration = w (p - calibration y) / sum w y

    Both are None if it is undefined, the derivative also where an RMSE is 0.
    """
    p, y, w = (np.asarray(a, np.float64) for a in (predictions, labels, weights))
    if name == "calibration":
        actual = float((w * y).sum())
        ratio = float((w * p).sum()) / actual if actual else None
        return ratio, None if ratio is None else w * (p - ratio * y) / actual
    total = float(w.sum())
    if not total:
        return None, None
    each = errors(task)["mse" if name == "rmse" else name](p, y)
    mean = float((w * each).sum()) / total
    slope = w * (each - mean) / total
    if name != "rmse":
        return mean, slope
    return mean**0.5, slope / (2 * mean**0.5) if mean else None
