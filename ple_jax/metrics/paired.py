"""How far one model is ahead of another on the same rows, and whether by chance.

Both may move together, on other rows and by their seeds: so each difference has its own
intervals, which are narrower than those of two models apart. For models A and B with R
seeds each, and their AUC (or RMSE) m:

    d = mean_r m(A_r) - mean_r m(B_r)
    over rows    d -+ z SE, by the difference of the influences on both means
    over seeds   d -+ t s / sqrt(R), s that of the R differences m(A_r) - m(B_r)
    both         d -+ sqrt(h_rows^2 + h_seeds^2) of the halves h of these

Without users, SE is DeLong's for two curves of the same examples. With one seed, both
is that over rows alone.

References: DeLong et al., Biometrics 1988, equation 5; Obuchowski, Biometrics 1997.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from scipy import special

from ple_jax.metrics.intervals import Influence
from ple_jax.metrics.over_domains import LOWER_IS_BETTER
from ple_jax.metrics.spread import CONFIDENCE, spread

HEADLINES = {"binary": "auc_roc", "squared": "rmse"}  # of a task, by its loss


def gain(
    loss: str,
    better: Sequence[float | None],
    other: Sequence[float | None],
    moved: tuple[Sequence[Influence], Sequence[Influence]] | None = None,
) -> dict[str, Any]:
    """How much better one model is than another in a task's headline.

    Seeds are paired, unless one of both has a single one.

    Args:
        loss: Of the task; a lower RMSE is better.
        better: The headline of each seed of the one.
        other: The same of the other.
        moved: The influences on each, on the same rows.

    Returns:
        `mean`, `over_rows`, `over_seeds` and `interval`, of both; None if undefined.
    """
    sign = -1 if HEADLINES[loss] in LOWER_IS_BETTER else 1
    a, b = list(better), list(other)
    if len(a) != len(b):
        a, b = (a * len(b), b) if len(a) == 1 else (a, b * len(a))
    pairs = zip(a, b, strict=len(a) == len(b))
    each = [sign * (x - y) for x, y in pairs if x is not None and y is not None]
    found, error = spread(each), None
    if moved and all(moved):
        first, second = map(Influence.of_mean, moved)
        error = first.less(second).standard_error()
    return {"mean": found["mean"], **_intervals(found, error)}


def _intervals(found: dict[str, Any], error: float | None) -> dict[str, Any]:
    mean, seeds = found["mean"], found["interval"]
    z = float(special.ndtri((1 + CONFIDENCE) / 2))
    around = lambda half: None if half is None else [mean - half, mean + half]
    over_rows = z * error if error is not None and mean is not None else None
    over_seeds = (seeds[1] - seeds[0]) / 2 if seeds else None
    known = [half for half in (over_rows, over_seeds) if half is not None]
    both = sum(half**2 for half in known) ** 0.5 if known else None
    return {
        "over_rows": around(over_rows),
        "over_seeds": around(over_seeds),
        "interval": around(both),
    }


def p_value(found: Mapping[str, Any]) -> float | None:
    """The two-sided p-value of a `gain`; None if it has no interval.

        p = 2 Phi(-z |d| / h),   h half of the interval of 95 %, z = Phi^-1(0.975)

    It is below 0.05 just where the interval does not hold 0.
    """
    if found["interval"] is None:
        return None
    low, high = found["interval"]
    half, z = (high - low) / 2, float(special.ndtri((1 + CONFIDENCE) / 2))
    if half == 0:  # two equal models, or seeds that never differ
        return 1.0 if found["mean"] == 0 else 0.0
    return 2 * float(special.ndtr(-z * abs(found["mean"]) / half))


def is_sure(found: dict[str, Any]) -> bool:
    """Whether a gain is above 0 by more than chance: its whole interval is."""
    return found["interval"] is not None and found["interval"][0] > 0
