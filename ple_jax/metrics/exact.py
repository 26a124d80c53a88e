"""Exact metrics, computed on the host in float64. None means undefined."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ple_jax.schema import Task

Measured = dict[str, float | int | None]


def report(
    logits: np.ndarray,  # (B, T)
    labels: np.ndarray,  # (B, T)
    observed: np.ndarray,  # (B, T) bool
    weights: np.ndarray | None,  # (B,); None weighs all examples equally
    domain: np.ndarray | None,  # (B,) int; None if there is one domain
    tasks: Sequence[Task],
    domains: Sequence[str],
    user: np.ndarray | None = None,  # (B,) int
) -> dict[str, Any]:
    """Computes all metrics by task, and by domain and task, ready for JSON.

    Weights apply to losses, calibration and normalised entropy. Areas under curves
    count each example once.

    Raises:
        ValueError: A logit is not finite, or `domain` is None with several domains.
    """
    check_logits(logits)
    if domain is None and len(domains) > 1:
        raise ValueError(
            f"Metrics of {len(domains)} domains need each example's domain, got None."
        )
    weights = np.ones(len(logits)) if weights is None else weights

    def measure_rows(rows: np.ndarray) -> dict[str, Measured]:
        by_task = {}
        for i, task in enumerate(tasks):
            seen = np.flatnonzero(rows & observed[:, i])
            users = None if user is None else user[seen]
            by_task[task.name] = measure(
                task, logits[seen, i], labels[seen, i], weights[seen], users
            )
        return by_task

    overall = measure_rows(np.ones(len(logits), bool))
    if domain is None or len(domains) == 1:
        by_domain = {domains[0]: overall}
    else:
        by_domain = {name: measure_rows(domain == i) for i, name in enumerate(domains)}
    return {"examples": len(logits), "tasks": overall, "domains": by_domain}


def check_logits(logits: np.ndarray, first: int = 0) -> None:
    """Raises a ValueError that counts the rows of logits (B, T) that are not finite.

    Args:
        logits: The logits of some rows.
        first: The number of the first of them.
    """
    bad = ~np.isfinite(logits).all(axis=-1)
    if bad.any():
        row = bad.argmax()
        raise ValueError(
            f"{bad.sum()} of {len(bad)} rows scored NaN or infinity; the first is row "
            f"{first + row}: expected finite logits, got {logits[row].tolist()}."
        )


def measure(
    task: Task,
    logits: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    weights: np.ndarray,  # (B,)
    user: np.ndarray | None = None,  # (B,)
) -> Measured:
    """The metrics of one task on observed examples."""
    sums = Sums.of(task, logits, labels, weights)
    if task.loss == "squared":
        return squared_metrics(sums, len(logits))
    curve = Curve.of(logits, labels)
    measured = {"auc_pr": curve.auc_pr()} | binary_metrics(sums, curve)
    if user is not None:
        measured["grouped_auc"] = grouped_auc(logits, labels, user)
    return measured


class Sums(NamedTuple):
    """Weighted sums over examples, which give the metrics that are means."""

    weight: float  # sum w
    loss: float  # sum w loss(z, y), cross-entropy in nats or squared error
    predicted: float  # sum w s(z)
    actual: float  # sum w y

    @classmethod
    def of(
        cls, task: Task, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
    ) -> "Sums":
        """Sums over a task's examples: logits, labels and weights (B,)."""
        z, y, w = (np.asarray(a, np.float64) for a in (logits, labels, weights))
        if task.loss == "squared":
            predicted, loss = z, (z - y) ** 2
        else:
            predicted = sigmoid(z)
            loss = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
        return cls(*(float(np.sum(w * a)) for a in (1, loss, predicted, y)))

    def mean_loss(self) -> float | None:
        """sum w loss / sum w: log loss or mean squared error; None without examples."""
        return self.loss / self.weight if self.weight else None

    def normalised_entropy(self) -> float | None:
        """Log loss relative to the entropy of the base rate; below 1 is better than it.

            NE = log loss / -(p log p + (1 - p) log(1 - p)),    p = sum w y / sum w

        Undefined if there is one class. Reference: He et al., ADKDD 2014, section 2.
        """
        if not 0 < self.actual < self.weight:
            return None
        p = self.actual / self.weight
        entropy = float(-p * np.log(p) - (1 - p) * np.log1p(-p))
        return self.loss / self.weight / entropy

    def calibration(self) -> float | None:
        """sum w s(z) / sum w y: 1 is ideal. Undefined without positives.

        Reference: He et al., ADKDD 2014, section 2.
        """
        return self.predicted / self.actual if self.actual else None


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) in a form that never overflows, elementwise."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


class Curve(NamedTuple):
    """Examples of each class at each distinct score, from the highest score down."""

    positives: np.ndarray  # (distinct scores,)
    negatives: np.ndarray  # (distinct scores,)

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray) -> "Curve":
        """The curve of scores (B,) and 0/1 labels (B,); equal scores are one point."""
        order = np.argsort(scores)[::-1]
        y = np.asarray(labels, np.float64)[order]
        return cls(*_count_runs(y, _starts_run(scores[order])))

    def auc_roc(self) -> float | None:
        """The probability that a positive outscores a negative; ties count half.

            AUC = sum_s p_s (n_below_s + n_s / 2) / (P N)

        Undefined unless both classes occur.
        """
        p, n = self
        if not (p.any() and n.any()):
            return None
        below = n.sum() - np.cumsum(n)
        return float((p * (below + n / 2)).sum() / (p.sum() * n.sum()))

    def auc_pr(self) -> float | None:
        """Average precision, with one threshold per distinct score.

            AP = sum_s precision_s (recall_s - recall_{s-1})

        Undefined unless both classes occur.
        """
        p, n = self
        if not (p.any() and n.any()):
            return None
        precision = np.cumsum(p) / np.cumsum(p + n)
        return float((precision * p).sum() / p.sum())


def auc_roc(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Exact area under the ROC curve of scores (B,); ties count half.

    Example:
        >>> auc_roc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 0, 1, 1]))
        0.875
        >>> auc_roc(np.array([0.1, 0.4]), np.array([1, 1])) is None
        True
    """
    return Curve.of(scores, labels).auc_roc()


def auc_pr(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the precision-recall curve of scores (B,), as average precision."""
    return Curve.of(scores, labels).auc_pr()


def grouped_auc(
    scores: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    group: np.ndarray,  # (B,)
) -> float | None:
    """The mean AUC of groups, weighted by their sizes.

        GAUC = sum_u n_u AUC_u / sum_u n_u

    Groups of one class have no AUC and do not count. Reference: Sheng et al., CIKM
    2021, equation 9.

    Example:
        >>> scores, labels = np.array([0.1, 0.9, 0.8, 0.3]), np.array([0, 1, 0, 1])
        >>> grouped_auc(scores, labels, group=np.array([7, 7, 8, 8]))
        0.5
    """
    order = np.lexsort((scores, group))
    y, g = np.asarray(labels, np.float64)[order], group[order]
    new_run = _starts_run(g) | _starts_run(scores[order])
    p, n = _count_runs(y, new_run)  # a run has one group and one score, rising
    starts = np.flatnonzero(_starts_run(g)[new_run])  # the first run of each group
    if not len(starts):
        return None
    total_p, total_n = np.add.reduceat(p, starts), np.add.reduceat(n, starts)
    # Count negatives below over all groups, then subtract those of earlier groups.
    wins = np.add.reduceat(p * (np.cumsum(n) - n / 2), starts)
    wins -= total_p * (np.cumsum(total_n) - total_n)
    both = (total_p > 0) & (total_n > 0)
    if not both.any():
        return None
    auc = wins[both] / (total_p * total_n)[both]
    return float(np.average(auc, weights=(total_p + total_n)[both]))


def _starts_run(values: np.ndarray) -> np.ndarray:
    """Whether each of (B,) sorted values differs from the one before it."""
    return np.concatenate([np.ones(len(values[:1]), bool), values[1:] != values[:-1]])


def _count_runs(labels: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives of each run (runs,); a run starts where `new` (B,) is."""
    starts = np.flatnonzero(new)
    if not len(starts):
        return np.zeros(0), np.zeros(0)
    positives = np.add.reduceat(labels, starts)
    return positives, np.diff(starts, append=len(labels)) - positives


def binary_metrics(sums: Sums, curve: Curve) -> Measured:
    """The metrics of a binary task that follow from sums and a coarse curve."""
    positives, negatives = int(curve.positives.sum()), int(curve.negatives.sum())
    return {
        "auc_roc": curve.auc_roc(),
        "log_loss": sums.mean_loss(),
        "normalised_entropy": sums.normalised_entropy(),
        "calibration": sums.calibration(),
        "examples": positives + negatives,
        "positives": positives,
    }


def squared_metrics(sums: Sums, examples: int) -> Measured:
    """The metrics of a task with a squared loss."""
    mse = sums.mean_loss()
    return {"mse": mse, "rmse": None if mse is None else mse**0.5, "examples": examples}
