"""Exact metrics, on the host, in float64. None means that a metric is undefined."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ple_jax.schema import Task

Measured = dict[str, float | int | None]


def report(
    logits: np.ndarray,  # (B, T)
    labels: np.ndarray,  # (B, T)
    observed: np.ndarray,  # (B, T) bool
    weights: np.ndarray | None,  # (B,)
    domain: np.ndarray,  # (B,) int
    tasks: Sequence[Task],
    domains: Sequence[str],
    user: np.ndarray | None = None,  # (B,) int
) -> dict[str, Any]:
    """All metrics per task, and per domain x task, ready for JSON.

    Raises:
        ValueError: A logit is not a finite number.
    """
    check_finite(logits)
    columns = {
        task.name: _Column.of(
            task, logits[:, i], labels[:, i], observed[:, i], weights, domain, user
        )
        for i, task in enumerate(tasks)
    }
    overall = {name: column.measure() for name, column in columns.items()}
    if len(domains) == 1:
        by_domain = {domains[0]: overall}
    else:
        by_domain = {
            name: {task: c.within(i).measure() for task, c in columns.items()}
            for i, name in enumerate(domains)
        }
    return {"examples": len(logits), "tasks": overall, "domains": by_domain}


def check_finite(logits: np.ndarray) -> None:
    """Raises a ValueError that counts logits that are no finite number."""
    bad = ~np.isfinite(logits).all(axis=-1)
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} rows scored NaN or infinite, the first is row "
            f"{bad.argmax()}."
        )


class _Column:
    """One task's observed examples."""

    def __init__(self, task, z, y, w, domain, user):
        self.task, self.z, self.y, self.w = task, z, y, w
        self.domain, self.user = domain, user

    @classmethod
    def of(cls, task, z, y, observed, weights, domain, user) -> "_Column":
        weights = np.ones(len(z)) if weights is None else weights
        rows = slice(None) if observed.all() else observed
        picked = (np.asarray(a)[rows] for a in (z, y, weights, domain))
        z, y, w, d = picked
        users = None if user is None else np.asarray(user)[rows]
        return cls(task, np.float64(z), np.float64(y), np.float64(w), d, users)

    def within(self, domain: int) -> "_Column":
        rows = self.domain == domain
        user = None if self.user is None else self.user[rows]
        return _Column(
            self.task, self.z[rows], self.y[rows], self.w[rows], self.domain[rows], user
        )

    def measure(self) -> Measured:
        if self.task.loss == "squared":
            mse = squared(self.z, self.y, self.w)
            rmse = None if mse is None else mse**0.5
            return {"mse": mse, "rmse": rmse, "examples": len(self.z)}
        curve = Curve.of(self.z, self.y)
        measured = {
            "auc_roc": curve.auc_roc(),
            "auc_pr": curve.auc_pr(),
            "log_loss": log_loss(self.z, self.y, self.w),
            "normalised_entropy": normalised_entropy(self.z, self.y, self.w),
            "calibration": calibration(self.z, self.y, self.w),
        }
        if self.user is not None:
            measured["grouped_auc"] = grouped_auc(self.z, self.y, self.user)
        return measured | {
            "examples": len(self.z),
            "positives": int(self.y.sum()),
        }


class Curve:
    """Positives and negatives at each distinct score, from the highest down."""

    def __init__(self, positives: np.ndarray, negatives: np.ndarray):
        self.positives, self.negatives = positives, negatives

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray) -> "Curve":
        """The curve of (B,) scores and 0/1 labels; equal scores are one point."""
        order = np.argsort(-scores, kind="stable")
        scores, labels = scores[order], np.float64(labels[order])
        first = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]][: len(scores)])
        count = np.diff(np.r_[first, len(scores)])
        positives = np.add.reduceat(labels, first) if len(first) else np.zeros(0)
        return cls(positives, count - positives)

    def auc_roc(self) -> float | None:
        """The chance that a positive scores above a negative; ties count a half.

        Undefined unless there are both.
        """
        p, n = self.positives, self.negatives
        if not (p.sum() and n.sum()):
            return None
        below = n.sum() - np.cumsum(n)
        return float((p * (below + n / 2)).sum() / (p.sum() * n.sum()))

    def auc_pr(self) -> float | None:
        """Average precision: sum over thresholds of precision x gained recall.

        Undefined unless there are positives and negatives.
        """
        p, n = self.positives, self.negatives
        if not (p.sum() and n.sum()):
            return None
        above = np.cumsum(p)
        precision = above / (above + np.cumsum(n))
        return float((precision * p).sum() / p.sum())


def auc_roc(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the ROC curve, exact, ties counted a half."""
    return Curve.of(scores, labels).auc_roc()


def auc_pr(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the precision-recall curve, as average precision."""
    return Curve.of(scores, labels).auc_pr()


def log_loss(z: np.ndarray, y: np.ndarray, w: np.ndarray) -> float | None:
    """Weighted mean of binary cross-entropy in nats, from logits: never clipped."""
    if not w.sum():
        return None
    each = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    return float((w * each).sum() / w.sum())


def normalised_entropy(z: np.ndarray, y: np.ndarray, w: np.ndarray) -> float | None:
    """Log loss over the entropy of the base rate; below 1 beats the base rate.

    Undefined for one class. Reference: He et al., ADKDD 2014, section 3.
    """
    return entropy_ratio(log_loss(z, y, w), float((w * y).sum()), float(w.sum()))


def entropy_ratio(loss: float | None, positives: float, total: float) -> float | None:
    """Log loss over the entropy of a base rate of `positives` in `total`."""
    if loss is None or not 0 < positives < total:
        return None
    rate = positives / total
    return loss / -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))


def calibration(z: np.ndarray, y: np.ndarray, w: np.ndarray) -> float | None:
    """Predicted over actual positives; 1 is right. Undefined without positives."""
    actual = (w * y).sum()
    small = np.exp(-np.abs(z))
    predicted = np.where(z >= 0, 1, small) / (1 + small)
    return float((w * predicted).sum() / actual) if actual else None


def squared(z: np.ndarray, y: np.ndarray, w: np.ndarray) -> float | None:
    """Weighted mean squared error."""
    return float((w * (z - y) ** 2).sum() / w.sum()) if w.sum() else None


def grouped_auc(
    scores: np.ndarray, labels: np.ndarray, group: np.ndarray
) -> float | None:
    """AUC within each group, averaged with the groups' sizes as weights.

        sum_u n_u AUC_u / sum_u n_u

    Groups of one class have no AUC and are left out. Reference: Sheng et al., CIKM
    2021, section 4.2, equation 9.
    """
    if not len(scores):
        return None
    order = np.lexsort((scores, group))
    g, s, y = group[order], scores[order], np.float64(labels[order])
    new_group = np.r_[True, g[1:] != g[:-1]]
    runs = np.flatnonzero(new_group | np.r_[True, s[1:] != s[:-1]])  # of equal scores
    positives = np.add.reduceat(y, runs)
    negatives = np.diff(np.r_[runs, len(s)]) - positives
    starts = np.flatnonzero(new_group[runs])
    before = np.cumsum(negatives) - negatives
    own_before = before - np.repeat(before[starts], np.diff(np.r_[starts, len(runs)]))
    wins = np.add.reduceat(positives * (own_before + negatives / 2), starts)
    p, n = np.add.reduceat(positives, starts), np.add.reduceat(negatives, starts)
    both = (p > 0) & (n > 0)
    if not both.any():
        return None
    size = (p + n)[both]
    return float((size * wins[both] / (p * n)[both]).sum() / size.sum())


def flat(measured: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """`auc_roc/income` -> value, of a report's tasks."""
    return {
        f"{prefix}{name}/{task}": value
        for task, metrics in measured["tasks"].items()
        for name, value in metrics.items()
    }
