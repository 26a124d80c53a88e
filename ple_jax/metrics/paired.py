"""How far one model is ahead of another on the same rows, and whether by chance.

Both may move together, on other rows and by their seeds: so each difference has its own
intervals, which are narrower than those of two models apart. For models A and B with R
seeds each, and their AUC (or RMSE) m:

    d = mean_r m(A_r) - mean_r m(B_r)
    over rows    d -+ z SE, by the difference of the influences on both means
    over seeds   d -+ t s / sqrt(R), s that of the R differences m(A_r) - m(B_r)
    both         d -+ sqrt(h_rows^2 + h_seeds^2) of the halves h of these
    p-value      the share of cases that "both" misses when it is drawn to end at 0

Without users, SE is DeLong's for two curves of the same examples. With one seed, both
is that over rows alone. Of models with unlike numbers of seeds, s / sqrt(R) and its t
are Welch's. "Both" holds the truth in 95 to 97 % of cases from 5 seeds on, and in up to
99 % of those with 2: never in fewer than it says.

References: DeLong et al., Biometrics 1988, equation 5; Obuchowski, Biometrics 1997.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, special

from ple_jax.metrics.intervals import Influence
from ple_jax.metrics.over_domains import LOWER_IS_BETTER
from ple_jax.metrics.spread import CONFIDENCE
from ple_jax.tasks import LOSSES

HEADLINES = {loss: of.metrics[0] for loss, of in LOSSES.items()}  # of a task
ENDS = ("over_rows", "over_seeds", "interval")
LEAST = -100.0  # logarithm of the least p-value that is told: 4e-44


def gain(
    loss: str,
    better: Sequence[float | None],
    other: Sequence[float | None],
    moved: tuple[Sequence[Influence | None], Sequence[Influence | None]] | None = None,
) -> dict[str, Any]:
    """How much better one model is than another in a task's headline.

    Seeds are paired if there are as many; a single one meets each of the other's.

    Args:
        loss: Of the task; a lower error is better.
        better: The headline of each seed of the one.
        other: The same of the other.
        moved: The influences on each, on the same rows; None where undefined.

    Returns:
        `mean`, `over_rows`, `over_seeds` and `interval`, of both, and its `p_value`;
        None if undefined.
    """
    sign = -1 if HEADLINES[loss] in LOWER_IS_BETTER else 1
    known = lambda values: [sign * v for v in values if v is not None]
    error, a, b = None, known(better), known(other)
    if not (a and b):
        return dict.fromkeys((*ENDS, "mean", "p_value"))
    known_moves = [[one for one in of if one] for of in moved or ()]
    if known_moves and all(known_moves):
        first, second = map(Influence.of_mean, known_moves)
        error = first.less(second).standard_error()
    found = Difference.of(a, b, error)
    halves = found.halves(1 - CONFIDENCE)
    ends = {
        name: None if half is None else [found.mean - half, found.mean + half]
        for name, half in zip(ENDS, halves, strict=True)
    }
    return {"mean": found.mean, **ends, "p_value": found.p_value()}


class Difference(NamedTuple):
    """A mean difference, and the errors of its two sources of chance."""

    mean: float
    of_rows: float | None  # standard error over rows, of the normal distribution
    of_seeds: float | None  # standard error over seeds, of Student's t
    freedom: float = 0  # degrees of freedom of that

    @classmethod
    def of(
        cls, a: Sequence[float], b: Sequence[float], of_rows: float | None
    ) -> "Difference":
        """That of the seeds of two models."""
        sizes, freedom = (len(a), len(b)), 0.0
        mean = statistics.fmean(a) - statistics.fmean(b)
        if min(sizes) == 1 or sizes[0] == sizes[1]:
            pairs = np.subtract(a, b)  # a single one meets each
            error, freedom = _error(pairs), max(sizes) - 1
        else:
            first, second = _error(a), _error(b)
            error, freedom = math.hypot(first, second), _welch(first, second, sizes)
        return cls(mean, of_rows, error if max(sizes) > 1 else None, freedom)

    def halves(self, missed: float) -> tuple[float | None, ...]:
        """Half the widths of the intervals over rows, over seeds and over both.

        These miss the truth in a share `missed` of cases.
        """
        tail = missed / 2
        z, t = -special.ndtri(tail), -special.stdtrit(self.freedom, tail)
        rows = None if self.of_rows is None else float(z * self.of_rows)
        seeds = None if self.of_seeds is None else float(t * self.of_seeds)
        known = [half for half in (rows, seeds) if half is not None]
        return rows, seeds, math.hypot(*known) if known else None

    def p_value(self) -> float | None:
        """The share of cases that the interval over both misses when it ends at 0.

        It is below 0.05 just where the interval does not hold 0. Tails are Student's
        where there are few seeds, much longer than the normal distribution's.
        """
        if self.of_rows is None and self.of_seeds is None:
            return None
        if not self.mean:
            return 1.0
        half = lambda missed: self.halves(missed)[2] or 0.0
        beyond = lambda log: half(math.exp(log)) - abs(self.mean)
        if beyond(LEAST) <= 0:
            return math.exp(LEAST)
        return min(1.0, math.exp(optimize.brentq(beyond, LEAST, 0)))


def _error(values: Sequence[float] | np.ndarray) -> float:
    """s / sqrt(n); 0 of one."""
    return float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0


def _welch(first: float, second: float, sizes: tuple[int, int]) -> float:
    """Welch's degrees of freedom for two errors of means of so many."""
    a, b = first**2, second**2
    below = a**2 / (sizes[0] - 1) + b**2 / (sizes[1] - 1)
    return (a + b) ** 2 / below if below else sum(sizes) - 2


def turned(found: Mapping[str, Any]) -> dict[str, Any]:
    """A `gain` of the one over the other as that of the other over the one."""
    ends = {name: found[name] and [-end for end in found[name][::-1]] for name in ENDS}
    return {**found, "mean": found["mean"] and -found["mean"], **ends}


def is_sure(found: dict[str, Any]) -> bool:
    """Whether a gain is above 0 by more than chance: its whole interval is."""
    return found["interval"] is not None and found["interval"][0] > 0
