r"""Shrinks the means of groups to what the groups have in common.

A group g with labels of weights w and total weight n_g, weighted sum s_g, is given the
posterior mean

    p_g = (s_g + a m) / (n_g + a)

of a beta-binomial model with prior Beta(a m, a (1 - m)) for binary labels, and of the
normal-normal model whose variances are sigma^2 within groups and sigma^2 / a between
them for numbers. The prior strength a, a weight as n is, is fitted by moments:

    MSW = (sum w y^2 - sum_g s_g^2 / n_g) / (labels - groups)
    MSB = (sum_g s_g^2 / n_g - S^2 / N) / (groups - 1)
    n_0 = (N - sum_g n_g^2 / N) / (groups - 1)
    a   = n_0 MSW / (MSB - MSW)

For binary labels this is 1 / rho - 1 of the analysis-of-variance estimate of their
correlation rho within a group. Where MSB <= MSW the groups do not differ: a is infinite
and each group is given m. a is never below the mean weight of a label, which is 1
without weights: the strength of Jeffreys' prior, which keeps p_g inside (0, 1).

Reference: Ridout, Demetrio and Firth, Biometrics 1999 (rho); Searle, Casella and
McCulloch, Variance Components, 1992, chapter 3 (n_0) and 5 (nested groups).
Differs from the references: labels have weights; a label of weight w has the variance
sigma^2 / w, so that p_g does not depend on the unit of weights.
"""

from typing import NamedTuple

import numpy as np


class Variation(NamedTuple):
    """What a prior strength is fitted to. That of several parts of all parents adds up.

    Attributes:
        groups: How many have a weight.
        n: Sum of all weights, N.
        explained: sum_g s_g^2 / n_g.
        parents: How many things the groups are shrunk to.
        between: sum of S^2 / N over the parents.
        size: sum of sum_g n_g^2 / N over the parents.
    """

    groups: int = 0
    n: float = 0.0
    explained: float = 0.0
    parents: int = 0
    between: float = 0.0
    size: float = 0.0

    @classmethod
    def of(cls, n: np.ndarray, sums: np.ndarray, parent: np.ndarray) -> "Variation":
        """That of groups.

        Args:
            n: Sum of the weights of each group (C,).
            sums: Sum of weight * label of each group (C,).
            parent: The number of what each group is shrunk to (C,).
        """
        some = n > 0
        n, sums = n[some], sums[some]
        parents, parent = np.unique(parent[some], return_inverse=True)
        of_parent = lambda x: np.bincount(parent, weights=x)
        total = of_parent(n)
        return cls(
            len(n),
            n.sum(),
            (sums**2 / n).sum(),
            len(parents),
            (of_parent(sums) ** 2 / total).sum(),
            (of_parent(n**2) / total).sum(),
        )

    def plus(self, other: "Variation") -> "Variation":
        """That of both, which have no parent in common."""
        groups = self.groups + other.groups
        n, explained = self.n + other.n, self.explained + other.explained
        parents = self.parents + other.parents
        between, size = self.between + other.between, self.size + other.size
        return Variation(groups, n, explained, parents, between, size)

    def under_one(self, totals: np.ndarray) -> "Variation":
        """The same with one parent for all, from its N, S and sum_g n_g^2."""
        n, s, squares = totals
        return self._replace(parents=1, between=s**2 / n, size=squares / n)


def fit_strength(found: Variation, squares: float, labels: int) -> float:
    """The prior strength a = sigma^2 / tau^2; inf where groups do not differ.

    Args:
        found: The groups.
        squares: The sum of weight * label^2 over all groups.
        labels: How many labels have a weight above 0.
    """
    within, between = labels - found.groups, found.groups - found.parents
    if within < 1 or between < 1:
        return np.inf
    msw = (squares - found.explained) / within
    msb = (found.explained - found.between) / between
    n_0 = (found.n - found.size) / between
    if msb <= msw:
        return np.inf
    return float(max(n_0 * msw / (msb - msw), found.n / labels))


def shrink(
    n: np.ndarray, sums: np.ndarray, prior: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    """(sums + strength prior) / (n + strength); the prior if the strength is inf."""
    a = np.where(np.isinf(strength), 1.0, strength)
    return np.where(np.isinf(strength), prior, (sums + a * prior) / (n + a))


def logit(p: np.ndarray | float) -> np.ndarray:
    """log(p / (1 - p))."""
    return np.log(p) - np.log1p(-p)
