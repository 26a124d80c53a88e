"""How far each metric would move on another draw of users, or of examples.

The rows of a split are a sample. The influence of a row on a metric is its derivative
by the weight of that row. Influences, summed by user, give the standard error:

    SE^2 = U / (U - 1) sum_u (sum_{i in u} influence_i)^2    over U users

This is what a bootstrap of whole users tends to, without its draws: one sort a task,
the same number at every call. Rows of one user may depend on each other. Where there
are no users, each example is drawn by itself, and the error of an AUC is DeLong's.

References: Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982,
section 6 (infinitesimal jackknife); DeLong et al., Biometrics 1988; Obuchowski,
Biometrics 1997.
"""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from ple_jax.metrics import errors
from ple_jax.metrics.curves import Ranked
from ple_jax.metrics.exact import Sums, cross_entropy, each_task, sigmoid
from ple_jax.metrics.spread import CONFIDENCE
from ple_jax.schema import Task

AREAS = ("auc_roc", "auc_pr", "grouped_auc")
SIGNED = ("coverage_gap",)
Found = tuple[str, float | None, float | None]  # metric, its value and standard error


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
    """Standard errors and 95 % intervals of the metrics of `exact.report`.

    Returns:
        "over" ("users" or "examples"), "number" of them, "confidence", and "tasks" and
        "domains", where each metric has `standard_error` and `interval`, both None
        where they are undefined.
    """
    found = each_task(
        measure, logits, labels, observed, weights, domain, tasks, domains, user
    )
    return assembled(found, len(logits), user)


def assembled(
    found: dict[str, Any], examples: int, user: np.ndarray | None
) -> dict[str, Any]:
    """The report of "tasks" and "domains": with what is drawn, and how many of them."""
    return {
        "over": "examples" if user is None else "users",
        "number": examples if user is None else len(np.unique(user)),
        "confidence": CONFIDENCE,
        **found,
    }


def measure(
    task: Task,
    logits: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    weights: np.ndarray,  # (B,)
    user: np.ndarray | None = None,  # (B,)
    ranked: Ranked | None = None,
) -> dict[str, Any]:
    """Standard error and interval of a task's metrics, on observed examples.

    The examples of a binary task may be ranked already.
    """
    z, y, w = (np.asarray(a, np.float64) for a in (logits, labels, weights))
    sample = Sample.of(len(z), user)
    if not task.is_binary:
        found = [*_of_errors(sample, task, z, y, w)]
    else:
        ranked = ranked or Ranked(z, y, user)
        found = [*_of_binary(sample, ranked, z, y, w)]
        found += [] if user is None else [_of_grouped_auc(ranked)]
    return {name: _entry(name, value, error) for name, value, error in found}


def interval(name: str, value: float | None, error: float | None) -> list[float] | None:
    """The 95 % interval of a metric by its standard error.

    It is symmetric in the logit of an area under a curve, and in the logarithm of all
    else that is at least 0, so that no end leaves the metric's range.

    Example:
        >>> [round(end, 3) for end in interval("auc_roc", 0.9, 0.03)]
        [0.824, 0.945]
    """
    z = float(special.ndtri((1 + CONFIDENCE) / 2))
    if name in SIGNED and value is not None and error:
        return [value - z * error, value + z * error]
    if not value or not error:
        return None
    if name not in AREAS:
        factor = float(np.exp(z * error / value))
        return [value / factor, value * factor]
    if value >= 1:
        return None
    half = z * error / (value * (1 - value))
    ends = special.logit(value) + np.array([-half, half])
    return special.expit(ends).tolist()


def of_one_trial(
    name: str, values: Sequence[float | None], errors: Sequence[float | None]
) -> dict[str, Any]:
    """Standard error and interval of one trial of several on the same examples.

    The interval is around their mean, by the root mean square of their errors. That of
    the mean itself is no wider.

    Args:
        name: The metric.
        values: Of each trial.
        errors: The standard error of each trial.
    """
    known = [
        (value, error)
        for value, error in zip(values, errors, strict=True)
        if value is not None and error is not None
    ]
    if not known:
        return _entry(name, None, None)
    mean = statistics.fmean(value for value, _ in known)
    square = statistics.fmean(error**2 for _, error in known)
    return _entry(name, mean, square**0.5)


def _entry(name: str, value: float | None, error: float | None) -> dict[str, Any]:
    return {"standard_error": error, "interval": interval(name, value, error)}


class Sample(NamedTuple):
    """What is drawn: whole users, or examples."""

    unit: np.ndarray  # (B,) the place of each row's user, below `number`
    number: int

    @classmethod
    def of(cls, rows: int, user: np.ndarray | None) -> "Sample":
        """Users by their ids (B,), or each of some rows by itself."""
        if user is None:
            return cls(np.arange(rows), rows)
        names, unit = np.unique(user, return_inverse=True)
        return cls(unit, len(names))

    def sums(self, influence: np.ndarray) -> np.ndarray:  # (B,) -> (U,)
        """Influences summed by user."""
        return np.bincount(self.unit, influence, self.number)

    def standard_error(self, influence: np.ndarray | None) -> float | None:
        """sqrt(U / (U - 1) sum_u s_u^2) of sums s; None of fewer than two users."""
        if influence is None or self.number < 2:
            return None
        squares = float((self.sums(influence) ** 2).sum())
        return (self.number / (self.number - 1) * squares) ** 0.5


def _of_errors(
    sample: Sample, task: Task, p: np.ndarray, y: np.ndarray, w: np.ndarray
) -> Iterator[Found]:
    """Of a task whose label is a number: see `errors.influence`."""
    for name in errors.names(task):
        value, slope = errors.influence(name, task, p, y, w)
        yield name, value, sample.standard_error(slope)


def _of_binary(
    sample: Sample, ranked: Ranked, z: np.ndarray, y: np.ndarray, w: np.ndarray
) -> Iterator[Found]:
    curve, area = ranked.curve, of_auc_roc(sample, ranked, y)
    yield "auc_roc", curve.auc_roc(), area and area.standard_error()
    influence = _influence_on_auc_pr(ranked, y)
    yield "auc_pr", curve.auc_pr(), sample.standard_error(influence)
    yield from _of_losses(sample, z, y, w)


class Influence(NamedTuple):
    """How a number depends on each user or example of a sample, in two parts.

    Numbers of the same sample can be subtracted, and averaged: then so are the parts.
    """

    value: float
    first: np.ndarray  # (U,)
    second: np.ndarray  # (U,)
    users: tuple[int, int, int]  # with a share in the first, in the second, and all

    def standard_error(self) -> float | None:
        """sqrt(f(U1) a a + f(U2) b b + 2 f(U) a b) of the parts, f(U) = U / (U - 1)."""
        if min(self.users) < 2:
            return None
        (a, b), grown = (self.first, self.second), [u / (u - 1) for u in self.users]
        both = grown[0] * (a @ a) + grown[1] * (b @ b)
        return float(max(both + 2 * grown[2] * (a @ b), 0) ** 0.5)

    def less(self, other: "Influence") -> "Influence":
        """That of the difference of two numbers of one sample."""
        first, second = self.first - other.first, self.second - other.second
        return Influence(self.value - other.value, first, second, self.users)

    @classmethod
    def of_mean(cls, each: Sequence["Influence"]) -> "Influence":
        """That of the mean of numbers of one sample."""
        mean = lambda name: sum(getattr(one, name) for one in each) / len(each)
        return cls(mean("value"), mean("first"), mean("second"), each[0].users)


def of_headline(
    task: Task,
    logits: np.ndarray,  # (B,)
    labels: np.ndarray,  # (B,)
    weights: np.ndarray,  # (B,)
    user: np.ndarray | None = None,  # (B,)
) -> Influence | None:
    """The influences on a task's headline, its AUC or an error; None without one.

    An AUC counts each example once, an error by its weight.
    """
    z, y, w = (np.asarray(a, np.float64) for a in (logits, labels, weights))
    sample = Sample.of(len(z), user)
    if task.is_binary:
        return of_auc_roc(sample, Ranked(z, y), y)
    value, slope = errors.influence(task.kind.metrics[0], task, z, y, w)
    if not value or slope is None:
        return None
    influence, users = sample.sums(slope), (sample.number,) * 3
    return Influence(value, influence, np.zeros_like(influence), users)


def of_auc_roc(sample: Sample, ranked: Ranked, y: np.ndarray) -> Influence | None:
    """The influences on an AUC, by placement values; its error is that of them.

        V_i = share of negatives below positive i, ties count half
        a_u = sum_{i in u} (V_i - AUC) / P for positive i,    b_u of negatives alike
        SE^2 = f(U+) sum a_u^2 + f(U-) sum b_u^2 + 2 f(U) sum a_u b_u
        f(U) = U / (U - 1)

    U+ users have a positive, U- a negative. Reference: Obuchowski, 1997, equations 3-6;
    of one example a user: DeLong et al., 1988, equation 5.
    """
    (p, n), auc = ranked.curve, ranked.curve.auc_roc()
    if auc is None:
        return None
    below = n.sum() - np.cumsum(n) + n / 2
    above = np.cumsum(p) - p / 2
    of_positive = y * (below[ranked.point] / n.sum() - auc) / p.sum()
    of_negative = (1 - y) * (above[ranked.point] / p.sum() - auc) / n.sum()
    with_p, with_n = (int(np.count_nonzero(sample.sums(of))) for of in (y, 1 - y))
    parts = sample.sums(of_positive), sample.sums(of_negative)
    return Influence(auc, *parts, (with_p, with_n, sample.number))


def _influence_on_auc_pr(ranked: Ranked, y: np.ndarray) -> np.ndarray | None:  # (B,)
    """The derivative of average precision by the weight of each example.

        y_j (pi_j - AP) / P + sum_{positive i, s_i <= s_j} (y_j - pi_i) / (P K_i)

    K_i examples score at least s_i, and pi_i, the precision, is the positive share.
    """
    (p, n), ap = ranked.curve, ranked.curve.auc_pr()
    if ap is None:
        return None
    at_least = np.cumsum(p + n)
    precision = np.cumsum(p) / at_least
    up_to = lambda values: np.cumsum(values[::-1])[::-1][ranked.point]
    own = y * (precision[ranked.point] - ap)
    others = y * up_to(p / at_least) - up_to(p * precision / at_least)
    return (own + others) / p.sum()


def _of_losses(
    sample: Sample, z: np.ndarray, y: np.ndarray, w: np.ndarray
) -> Iterator[Found]:
    """Of what is made of weighted means.

    d L = w (l - L) / W,    d C = w (s(z) - C y) / sum w y
    d NE = d L / H - L H' / H^2 w (y - p) / W,    H' = log((1 - p) / p)
    """
    sums, losses = Sums.of(z, y, w), cross_entropy(z, y)
    loss, relative = sums.mean_loss(), sums.normalised_entropy()
    calibration, entropy = sums.calibration(), sums.entropy()
    of_loss = of_relative = of_calibration = None
    if loss is not None:
        of_loss = w * (losses - loss) / sums.weight
    if loss is not None and of_loss is not None and entropy is not None:
        p = sums.actual / sums.weight
        of_rate = np.log((1 - p) / p) * w * (y - p) / sums.weight
        of_relative = of_loss / entropy - loss / entropy**2 * of_rate
    if calibration is not None:
        of_calibration = w * (sigmoid(z) - calibration * y) / sums.actual
    yield "log_loss", loss, sample.standard_error(of_loss)
    yield "normalised_entropy", relative, sample.standard_error(of_relative)
    yield "calibration", calibration, sample.standard_error(of_calibration)


def _of_grouped_auc(ranked: Ranked) -> Found:
    """Of a mean over users with both classes: d G = n_u (AUC_u - G) / sum n."""
    (auc, sizes), mean = ranked.by_user, ranked.grouped_auc()
    if mean is None:
        return "grouped_auc", None, None
    influence = sizes * (auc - mean) / sizes.sum()
    error = Sample.of(len(auc), None).standard_error(influence)
    return "grouped_auc", mean, error
