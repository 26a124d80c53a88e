"""How much a column differs between two sets of rows."""

import numpy as np

from ple_jax.analysis.raw import RawField

BINS = 10  # of numbers, by quantiles of the first set
MOST_VALUES = 20  # of categories; all others are one
SLIGHT, STRONG = 0.1, 0.25  # what is usually called so


def stability_index(before: np.ndarray, after: np.ndarray) -> float:
    """The population stability index of two sets of counts over the same bins.

        PSI = sum_b (p_b - q_b) log(p_b / q_b)

    Every bin has half a row more than was counted, so that none is empty. Without
    drift its mean is about (bins - 1) (1 / n + 1 / m) for n and m rows. Reference:
    Yurdakul, Western Michigan University, 2018, section 2.

    Example:
        >>> stability_index(np.array([50, 50]), np.array([50, 50]))
        0.0
        >>> round(stability_index(np.array([90, 10]), np.array([10, 90])), 1)
        3.4
    """
    p, q = before + 0.5, after + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def drift(field: RawField, before: np.ndarray, after: np.ndarray) -> float:
    """The stability index of a field between two sets of rows, each (B,) bool."""
    first, second = before[field.rows], after[field.rows]
    bins = binned(field, first)
    size = int(bins.max(initial=0)) + 1
    counts = (np.bincount(bins[some], minlength=size) for some in (first, second))
    return stability_index(*counts)


def binned(field: RawField, fit: np.ndarray) -> np.ndarray:
    """The bin of each code: quantiles of numbers, or the most frequent values.

    Missing values are the bin after the last one. Bins are chosen on the codes that
    `fit` is true for.
    """
    missing = field.codes == field.values
    if field.numbers is None:
        counts = np.bincount(field.codes[fit], minlength=field.values + 1)[:-1]
        place = np.argsort(np.argsort(-counts, kind="stable"))
        place = np.r_[np.minimum(place, MOST_VALUES), MOST_VALUES + 1]
        return place[field.codes]
    known = field.numbers[fit & ~missing]
    cuts = np.quantile(known, np.arange(1, BINS) / BINS) if len(known) else np.zeros(1)
    place = np.searchsorted(np.unique(cuts), field.numbers, "right")
    return np.where(missing, BINS + 1, place)
