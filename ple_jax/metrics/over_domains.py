"""One number for all domains: their mean, each counting once, or the worst of them."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LOWER_IS_BETTER = (
    "log_loss",
    "normalised_entropy",
    "calibration_error",
    "mse",
    "rmse",
    "mae",
    "huber",
    "pinball",
    "poisson_deviance",
)


def macro(name: str, values: Sequence[float | None]) -> float | None:
    """The mean of a metric over domains, each counting once; None if none has it.

    A domain where the metric is undefined does not count: it has one class.

    Example:
        >>> macro("auc_roc", [0.75, None, 0.5])
        0.625
    """
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None


def worst(name: str, values: Sequence[float | None]) -> float | None:
    """The value of the worst domain that has the metric; None if none has it.

    The worst calibration is the farthest from 1, as a ratio; the worst gap from 0.

    Example:
        >>> worst("auc_roc", [0.75, None, 0.5])
        0.5
        >>> worst("calibration", [0.5, 1.25])
        0.5
    """
    known = [v for v in values if v is not None]
    return max(known, key=lambda v: badness(name, v), default=None)


def badness(name: str, value: float) -> float:
    """A number that is higher, the worse this value of a metric is."""
    if name == "calibration":
        return max(value, 1 / value if value else float("inf"))
    if name == "coverage_gap":
        return abs(value)
    return value if name in LOWER_IS_BETTER else -value


Reduction = Callable[[str, Sequence[float | None]], float | None]
REDUCTIONS: dict[str, Reduction] = {"macro": macro, "worst": worst}


def over_domains(domains: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """ "macro", "worst" and "worst_domain": task -> metric -> value; without counts.

    Args:
        domains: Domain -> task -> metric -> value.
    """
    found: dict[str, dict[str, Any]]
    found = {how: {} for how in (*REDUCTIONS, "worst_domain")}
    for task, measured in next(iter(domains.values()), {}).items():
        names = [k for k, value in measured.items() if not isinstance(value, int)]
        for name in names:
            each = {domain: of[task][name] for domain, of in domains.items()}
            values = {how: of(name, [*each.values()]) for how, of in REDUCTIONS.items()}
            worst = values["worst"]
            where = next((k for k, v in each.items() if v == worst is not None), None)
            for how, value in {**values, "worst_domain": where}.items():
                found[how].setdefault(task, {})[name] = value
    return found
