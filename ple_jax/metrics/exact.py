"""Exact metrics, computed on the host in float64. None means undefined."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ple_jax.metrics import errors
from ple_jax.metrics.curves import Curve, Ranked
from ple_jax.metrics.errors import Measured
from ple_jax.metrics.over_domains import over_domains
from ple_jax.schema import Task

BINS = 10  # of the calibration error


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

    Of several domains, "macro" and "worst" have the mean and the worst one by task.
    Weights apply to losses, calibration and normalised entropy. Areas under curves
    count each example once.

    Raises:
        ValueError: A logit is not finite, or `domain` is None with several domains.
    """
    check_logits(logits)
    found = each_task(
        measure, logits, labels, observed, weights, domain, tasks, domains, user
    )
    return assembled(found, len(logits))


def assembled(found: dict[str, Any], examples: int) -> dict[str, Any]:
    """The report of "tasks" and "domains": with their number of examples, and means."""
    several = over_domains(found["domains"]) if len(found["domains"]) > 1 else {}
    return {"examples": examples, **found, **several}


def each_task(
    measure: Callable[..., Any],
    logits: np.ndarray,  # (B, T)
    labels: np.ndarray,  # (B, T)
    observed: np.ndarray,  # (B, T) bool
    weights: np.ndarray | None,  # (B,); None weighs all examples equally
    domain: np.ndarray | None,  # (B,) int; None if there is one domain
    tasks: Sequence[Task],
    domains: Sequence[str],
    user: np.ndarray | None,  # (B,) int
) -> dict[str, Any]:
    """Measures every task on its observed rows: "tasks" of all, "domains" of each.

    Args:
        measure: Of a task, and the logits, labels, weights and users (B,) of some rows.
        logits: Those of all tasks, as the rest.
        labels: Of each row and task.
        observed: Which labels there are.
        weights: Of each row.
        domain: Of each row.
        tasks: In the order of the axis T.
        domains: Names of the domains.
        user: Of each row, if there are users.

    Raises:
        ValueError: `domain` is None with several domains.
    """
    if domain is None and len(domains) > 1:
        raise ValueError(
            f"Metrics of {len(domains)} domains need each example's domain, got None."
        )

    weights = np.ones(len(logits)) if weights is None else weights

    def of_task(i: int, rows: np.ndarray) -> Any:
        seen = rows[observed[rows, i]]
        users = None if user is None else user[seen]
        return measure(tasks[i], logits[seen, i], labels[seen, i], weights[seen], users)

    def of_rows(rows: np.ndarray) -> dict[str, Any]:
        return {task.name: of_task(i, rows) for i, task in enumerate(tasks)}

    overall = of_rows(np.arange(len(observed)))
    if domain is None or len(domains) == 1:
        return {"tasks": overall, "domains": {domains[0]: overall}}
    order = np.argsort(domain, kind="stable")  # so that rows of a domain stay in order
    ends = np.searchsorted(domain[order], np.arange(1, len(domains)))
    parts = zip(domains, np.split(order, ends), strict=True)
    return {"tasks": overall, "domains": {name: of_rows(part) for name, part in parts}}


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
    ranked: Ranked | None = None,
) -> Measured:
    """The metrics of one task on observed examples, which may be ranked already."""
    if not task.is_binary:
        return errors.measure(task, logits, labels, weights)
    sums = Sums.of(logits, labels, weights)
    ranked = ranked or Ranked(logits, labels, user)
    measured = {"auc_pr": ranked.curve.auc_pr()} | binary_metrics(sums, ranked.curve)
    measured["calibration_error"] = calibration_error(logits, labels, weights)
    if user is not None:
        measured["grouped_auc"] = ranked.grouped_auc()
    return measured


class Sums(NamedTuple):
    """Weighted sums over examples, which give the metrics that are means."""

    weight: float  # sum w
    loss: float  # sum w loss(z, y), cross-entropy in nats; of a number, an error
    predicted: float  # sum w s(z)
    actual: float  # sum w y

    @classmethod
    def of(cls, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> "Sums":
        """Sums over a binary task's examples: logits, labels and weights (B,)."""
        z, y, w = (np.asarray(a, np.float64) for a in (logits, labels, weights))
        each = 1, cross_entropy(z, y), sigmoid(z), y
        return cls(*(float(np.sum(w * a)) for a in each))

    def mean_loss(self) -> float | None:
        """sum w loss / sum w: log loss or mean error; None without examples."""
        return self.loss / self.weight if self.weight else None

    def normalised_entropy(self) -> float | None:
        """Log loss relative to the entropy of the base rate; below 1 is better than it.

            NE = log loss / -(p log p + (1 - p) log(1 - p)),    p = sum w y / sum w

        Undefined if there is one class. Reference: He et al., ADKDD 2014, section 2.
        """
        entropy = self.entropy()
        return None if entropy is None else self.loss / self.weight / entropy

    def entropy(self) -> float | None:
        """-(p log p + (1 - p) log(1 - p)) of the base rate p; None of one class."""
        if not 0 < self.actual < self.weight:
            return None
        p = self.actual / self.weight
        return float(-p * np.log(p) - (1 - p) * np.log1p(-p))

    def calibration(self) -> float | None:
        """sum w s(z) / sum w y: 1 is ideal. Undefined without positives.

        Reference: He et al., ADKDD 2014, section 2.
        """
        return self.predicted / self.actual if self.actual else None


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each example's cross-entropy (B,), in nats."""
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    return softplus - logits * labels


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) in a form that never overflows, elementwise."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def calibration_error(
    logits: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    weights: np.ndarray,  # (B,)
) -> float | None:
    """Expected calibration error, in probability: 0 is ideal. None without examples.

        ECE = sum_k |sum_{i in k} w_i (s(z_i) - y_i)| / sum_i w_i

    Bin k has the scores above the k-th decile of all and up to the next, so that equal
    scores share a bin. Few examples a bin raise it by chance. Reference: Guo et al.,
    ICML 2017, section 2, with the bins of Nguyen and O'Connor, EMNLP 2015.
    """
    if not (len(logits) and weights.any()):
        return None
    z, y, w = (np.asarray(a, np.float64) for a in (logits, labels, weights))
    inner = np.quantile(z, np.arange(1, BINS) / BINS, method="inverted_cdf")
    gaps = np.bincount(np.searchsorted(inner, z), w * (sigmoid(z) - y))
    return float(np.abs(gaps).sum() / w.sum())


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
