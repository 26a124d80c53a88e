"""Mean and spread of a metric over several trials."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

CONFIDENCE = 0.95


def spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean, standard deviation, and the mean's 95 % confidence interval.

        mean -+ t s / sqrt(n),   s with n - 1, t Student's quantile for n - 1

    The interval covers the seeds only: the split stays the same. Undefined values do
    not count. A single value has neither deviation nor interval.

    Example:
        >>> found = spread([0.71, 0.73, 0.72])
        >>> f"{found['mean']:.2f} +- {found['standard_deviation']:.2f}"
        '0.72 +- 0.01'
        >>> [round(end, 3) for end in found["interval"]]
        [0.695, 0.745]
    """
    known = [v for v in values if v is not None]
    count = len(known)
    found: dict[str, Any] = {"trials": count, "mean": None}
    found |= {"standard_deviation": None, "interval": None}
    if count:
        found["mean"] = mean = statistics.fmean(known)
    if count > 1:
        found["standard_deviation"] = deviation = statistics.stdev(known)
        t = float(special.stdtrit(count - 1, (1 + CONFIDENCE) / 2))
        half = t * deviation / np.sqrt(count)
        found["interval"] = [float(mean - half), float(mean + half)]
    return found


def spread_by_task(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Task -> metric -> its spread; leaves out counts, which all trials share."""
    if not each:
        return {}
    return {
        task: {
            name: spread([m[task][name] for m in each])
            for name, value in metrics.items()
            if not isinstance(value, int)
        }
        for task, metrics in each[0].items()
    }
