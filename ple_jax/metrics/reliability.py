"""Reliability: what is predicted beside what happens, by bins of the prediction."""

import numpy as np

BINS = 10


def reliability(
    predicted: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    weights: np.ndarray | None = None,  # (B,)
    bins: int = BINS,
) -> dict[str, np.ndarray]:
    """Means of predictions and labels in bins of equal counts.

    Bin k has the predictions above the k-th quantile of all and up to the next, so that
    equal ones share a bin; bins without examples are left out. These are the bins of
    the metric `calibration_error`.

    Returns:
        Arrays (bins,):

        low, high         the least and the largest prediction
        predicted         sum w p / sum w
        actual            sum w y / sum w
        standard_error    of `actual - predicted`, each example drawn by itself
        examples          how many

    Reference: DeGroot and Fienberg, The Statistician 1983; bins of Nguyen and O'Connor,
    EMNLP 2015.

    Example:
        >>> p, y = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])
        >>> print(reliability(p, y, bins=2)["predicted"].round(2))
        [0.15 0.85]
    """
    p, y = (np.asarray(a, np.float64) for a in (predicted, labels))
    w = np.ones(len(p)) if weights is None else np.asarray(weights, np.float64)
    if not len(p):
        names = "low high predicted actual standard_error examples".split()
        return {name: np.zeros(0) for name in names}
    inner = np.quantile(p, np.arange(1, bins) / bins, method="inverted_cdf")
    used, place = np.unique(np.searchsorted(inner, p), return_inverse=True)
    total = lambda values: np.bincount(place, values, len(used))
    mean = lambda values: total(w * values) / np.where(total(w) > 0, total(w), 1)
    gap = mean(y - p)
    spread = total((w * (y - p - gap[place])) ** 2)
    edge = lambda start, least: least.reduceat(np.sort(p), start)
    counts = np.bincount(place)
    starts = np.cumsum(counts) - counts
    return {
        "low": edge(starts, np.minimum),
        "high": edge(starts, np.maximum),
        "predicted": mean(p),
        "actual": mean(y),
        "standard_error": np.sqrt(spread) / np.where(total(w) > 0, total(w), 1),
        "examples": counts,
    }


def expected_error(binned: dict[str, np.ndarray]) -> float | None:
    """The mean distance of predicted and actual over bins, by their examples.

        ECE = sum_k n_k |predicted_k - actual_k| / sum_k n_k

    None without examples. It is the metric `calibration_error` where all weights are
    alike. Reference: Guo et al., ICML 2017, section 2.
    """
    if not len(binned["examples"]):
        return None
    gaps = np.abs(binned["predicted"] - binned["actual"])
    return float(np.average(gaps, weights=binned["examples"]))
