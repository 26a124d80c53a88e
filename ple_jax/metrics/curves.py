"""Areas under curves of ranked scores, exact on the host. None means undefined."""

from functools import cached_property
from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """Examples of each class at each distinct score, from the highest score down."""

    positives: np.ndarray  # (distinct scores,)
    negatives: np.ndarray  # (distinct scores,)

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray) -> "Curve":
        """The curve of scores (B,) and 0/1 labels (B,); equal scores are one point."""
        return Ranked(scores, labels).curve

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


class Ranked:
    """Scored rows, sorted once for all that needs their order.

    Attributes:
        curve: Of all rows.
        point: The place of each row's score on the curve (B,).
    """

    def __init__(
        self,
        scores: np.ndarray,  # (B,)
        labels: np.ndarray,  # (B,) 0 or 1
        user: np.ndarray | None = None,  # (B,)
    ):
        self._given = scores, labels, user
        order = np.argsort(scores)[::-1]
        new = starts_run(scores[order])
        self.curve = Curve(*count_runs(np.asarray(labels, np.float64)[order], new))
        self.point = np.empty(len(scores), np.int64)
        self.point[order] = np.cumsum(new) - 1

    @cached_property
    def by_user(self) -> tuple[np.ndarray, np.ndarray]:  # (users,) each
        """AUC and size of each user with both classes."""
        scores, labels, user = self._given
        if user is None:
            return np.zeros(0), np.zeros(0)
        return group_aucs(scores, labels, user)

    def grouped_auc(self) -> float | None:
        """The mean AUC of users: see `grouped_auc`."""
        return weighted_mean(*self.by_user)


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
    return weighted_mean(*group_aucs(scores, labels, group))


def weighted_mean(values: np.ndarray, sizes: np.ndarray) -> float | None:
    """The mean of values (n,), weighted by sizes (n,); None of none."""
    return float(np.average(values, weights=sizes)) if len(values) else None


def group_aucs(
    scores: np.ndarray, labels: np.ndarray, group: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUC and size of each group with both classes (groups,), in the groups' order."""
    order = np.lexsort((scores, group))
    y, g = np.asarray(labels, np.float64)[order], group[order]
    new_run = starts_run(g) | starts_run(scores[order])
    p, n = count_runs(y, new_run)  # a run has one group and one score, rising
    starts = np.flatnonzero(starts_run(g)[new_run])  # the first run of each group
    if not len(starts):
        return np.zeros(0), np.zeros(0)
    total_p, total_n = np.add.reduceat(p, starts), np.add.reduceat(n, starts)
    # Count negatives below over all groups, then subtract those of earlier groups.
    wins = np.add.reduceat(p * (np.cumsum(n) - n / 2), starts)
    wins -= total_p * (np.cumsum(total_n) - total_n)
    both = (total_p > 0) & (total_n > 0)
    return wins[both] / (total_p * total_n)[both], (total_p + total_n)[both]


def starts_run(values: np.ndarray) -> np.ndarray:
    """Whether each of (B,) sorted values differs from the one before it."""
    return np.concatenate([np.ones(len(values[:1]), bool), values[1:] != values[:-1]])


def count_runs(labels: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives of each run (runs,); a run starts where `new` (B,) is."""
    starts = np.flatnonzero(new)
    if not len(starts):
        return np.zeros(0), np.zeros(0)
    positives = np.add.reduceat(labels, starts)
    return positives, np.diff(starts, append=len(labels)) - positives
