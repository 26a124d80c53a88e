"""Exact metrics, on the host, in float64. None means that a metric is undefined."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ple_jax.schema import Task

Measured = dict[str, float | int | None]


def report(
    logits: np.ndarray,  # (B, T)
    labels: np.ndarray,  # (B, T)
    observed: np.ndarray,  # (B, T) bool
    weights: np.ndarray | None,  # (B,); None weighs all alike
    domain: np.ndarray | None,  # (B,) int; None where there is one domain
    tasks: Sequence[Task],
    domains: Sequence[str],
    user: np.ndarray | None = None,  # (B,) int
) -> dict[str, Any]:
    """All metrics per task, and per domain x task, ready for JSON.

    Weights count in the losses, in calibration and in normalised entropy; the areas
    under curves count every example once.

    Raises:
        ValueError: A logit is not a finite number, or `domain` is missing.
    """
    check_finite(logits)
    if domain is None and len(domains) > 1:
        raise ValueError(f"Metrics by domain need `domain`: there are {len(domains)}.")
    weights = np.ones(len(logits)) if weights is None else weights

    def measured(rows: np.ndarray) -> dict[str, Measured]:
        by_task = {}
        for i, task in enumerate(tasks):
            seen = np.flatnonzero(rows & observed[:, i])
            users = None if user is None else user[seen]
            by_task[task.name] = measure(
                task, logits[seen, i], labels[seen, i], weights[seen], users
            )
        return by_task

    overall = measured(np.ones(len(logits), bool))
    if domain is None or len(domains) == 1:
        by_domain = {domains[0]: overall}
    else:
        by_domain = {name: measured(domain == i) for i, name in enumerate(domains)}
    return {"examples": len(logits), "tasks": overall, "domains": by_domain}


def check_finite(logits: np.ndarray) -> None:
    """Raises a ValueError that counts the rows of (B, T) that are not finite."""
    bad = ~np.isfinite(logits).all(axis=-1)
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} rows scored NaN or infinite, the first is row "
            f"{bad.argmax()}."
        )


def measure(
    task: Task,
    logits: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    weights: np.ndarray,  # (B,)
    user: np.ndarray | None = None,  # (B,)
) -> Measured:
    """The metrics of one task on examples that are all observed."""
    sums = Sums.of(task, logits, labels, weights)
    if task.loss == "squared":
        return of_squared(sums, len(logits))
    curve = Curve.of(logits, labels)
    measured = {"auc_pr": curve.auc_pr()} | of_binary(sums, curve)
    if user is not None:
        measured["grouped_auc"] = grouped_auc(logits, labels, user)
    return measured


class Sums(NamedTuple):
    """Weighted sums over examples, from which the metrics that are means follow."""

    weight: float  # sum w
    loss: float  # sum w loss(z, y), cross-entropy in nats or squared error
    predicted: float  # sum w s(z)
    actual: float  # sum w y

    @classmethod
    def of(
        cls, task: Task, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
    ) -> "Sums":
        """The sums over (B,) examples of a task."""
        z, y, w = (np.asarray(a, np.float64) for a in (logits, labels, weights))
        if task.loss == "squared":
            predicted, loss = z, (z - y) ** 2
        else:
            small = np.exp(-np.abs(z))  # never overflows, so no probability is clipped
            predicted = np.where(z >= 0, 1, small) / (1 + small)
            loss = np.maximum(z, 0) - z * y + np.log1p(small)
        return cls(*(float(np.sum(w * a)) for a in (1, loss, predicted, y)))

    def mean_loss(self) -> float | None:
        """sum w loss / sum w: log loss, or mean squared error."""
        return self.loss / self.weight if self.weight else None

    def normalised_entropy(self) -> float | None:
        """Log loss over the entropy of the base rate; below 1 beats the base rate.

            NE = log loss / -(p log p + (1 - p) log(1 - p)),    p = sum w y / sum w

        Undefined for one class. Reference: He et al., ADKDD 2014, section 2.
        """
        if not 0 < self.actual < self.weight:
            return None
        p = self.actual / self.weight
        entropy = float(-p * np.log(p) - (1 - p) * np.log1p(-p))
        return self.loss / self.weight / entropy

    def calibration(self) -> float | None:
        """sum w s(z) / sum w y; 1 is right. Undefined without positives.

        Reference: He et al., ADKDD 2014, section 2.
        """
        return self.predicted / self.actual if self.actual else None


class Curve(NamedTuple):
    """How many examples of each class have each distinct score, from the highest."""

    positives: np.ndarray  # (distinct scores,)
    negatives: np.ndarray  # (distinct scores,)

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray) -> "Curve":
        """The curve of (B,) scores and 0/1 labels; equal scores are one point."""
        order = np.argsort(scores)[::-1]
        y = np.asarray(labels, np.float64)[order]
        return cls(*_count_runs(y, _new(scores[order])))

    def auc_roc(self) -> float | None:
        """The chance that a positive scores above a negative; ties count a half.

            AUC = sum_s p_s (n_below_s + n_s / 2) / (P N)

        Undefined unless there are both.
        """
        p, n = self
        if not (p.any() and n.any()):
            return None
        below = n.sum() - np.cumsum(n)
        return float((p * (below + n / 2)).sum() / (p.sum() * n.sum()))

    def auc_pr(self) -> float | None:
        """Average precision, with each distinct score as one threshold.

            AP = sum_s precision_s (recall_s - recall_{s-1})

        Undefined unless there are both.
        """
        p, n = self
        if not (p.any() and n.any()):
            return None
        precision = np.cumsum(p) / np.cumsum(p + n)
        return float((precision * p).sum() / p.sum())


def auc_roc(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the ROC curve of (B,) scores, exact, ties counted a half."""
    return Curve.of(scores, labels).auc_roc()


def auc_pr(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the precision-recall curve of (B,) scores, as average precision."""
    return Curve.of(scores, labels).auc_pr()


def grouped_auc(
    scores: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    group: np.ndarray,  # (B,)
) -> float | None:
    """AUC within each group, averaged with the groups' sizes as weights.

        GAUC = sum_u n_u AUC_u / sum_u n_u

    Groups of one class have no AUC and are left out. Reference: Sheng et al., CIKM
    2021, equation 9.
    """
    order = np.lexsort((scores, group))
    y, g = np.asarray(labels, np.float64)[order], group[order]
    new_run = _new(g) | _new(scores[order])
    p, n = _count_runs(y, new_run)  # of runs of one group and score, rising
    starts = np.flatnonzero(_new(g)[new_run])  # of groups, among the runs
    if not len(starts):
        return None
    total_p, total_n = np.add.reduceat(p, starts), np.add.reduceat(n, starts)
    # Negatives below, counted over all groups; those of earlier groups go out again.
    wins = np.add.reduceat(p * (np.cumsum(n) - n / 2), starts)
    wins -= total_p * (np.cumsum(total_n) - total_n)
    both = (total_p > 0) & (total_n > 0)
    if not both.any():
        return None
    auc = wins[both] / (total_p * total_n)[both]
    return float(np.average(auc, weights=(total_p + total_n)[both]))


def _new(values: np.ndarray) -> np.ndarray:
    """Whether each of (B,) sorted values differs from the one before it."""
    return np.concatenate([np.ones(len(values[:1]), bool), values[1:] != values[:-1]])


def _count_runs(labels: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives in each run; a run begins where `new`."""
    starts = np.flatnonzero(new)
    if not len(starts):
        return np.zeros(0), np.zeros(0)
    positives = np.add.reduceat(labels, starts)
    return positives, np.diff(starts, append=len(labels)) - positives


def of_binary(sums: Sums, curve: Curve) -> Measured:
    """The metrics of a binary task that sums and a coarse curve suffice for."""
    positives, negatives = int(curve.positives.sum()), int(curve.negatives.sum())
    return {
        "auc_roc": curve.auc_roc(),
        "log_loss": sums.mean_loss(),
        "normalised_entropy": sums.normalised_entropy(),
        "calibration": sums.calibration(),
        "examples": positives + negatives,
        "positives": positives,
    }


def of_squared(sums: Sums, examples: int) -> Measured:
    """The metrics of a task with a squared loss."""
    mse = sums.mean_loss()
    return {
        "mse": mse,
        "rmse": None if mse is None else mse**0.5,
        "examples": examples,
    }
