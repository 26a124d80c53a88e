"""How well one column alone ranks the labels: what hardly any honest column does."""

import numpy as np

from ple_jax.metrics.curves import auc_roc


def auc_of_means(
    codes: np.ndarray,  # (B,) int, at least 0
    labels: np.ndarray,  # (B,) 0 or 1
    fit: np.ndarray,  # (B,) bool
) -> float | None:
    """AUC of each code's mean label, fitted on some rows and measured on the others.

        mean_c = (sum of labels of c + m) / (rows of c + 1),   m the mean of all

    Undefined unless the other rows have both classes.

    Example:
        >>> codes, labels = np.array([0, 1, 1, 0, 1, 0]), np.array([0, 1, 1, 0, 1, 0])
        >>> auc_of_means(codes, labels, np.arange(6) < 3)
        1.0
    """
    size, some = int(codes.max(initial=0)) + 1, labels[fit].astype(np.float64)
    prior = some.mean() if len(some) else 0.0
    sums = np.bincount(codes[fit], some, minlength=size)
    counts = np.bincount(codes[fit], minlength=size)
    means = (sums + prior) / (counts + 1)
    return auc_roc(means[codes[~fit]], labels[~fit])


def auc_either_way(
    numbers: np.ndarray,  # (B,), NaN where missing
    labels: np.ndarray,  # (B,) 0 or 1
) -> float | None:
    """AUC of the numbers or of their negatives, the higher; missing ones are lowest."""
    lowest = np.nanmin(numbers, initial=0.0) - 1
    area = auc_roc(np.where(np.isnan(numbers), lowest, numbers), labels)
    return None if area is None else max(area, 1 - area)
