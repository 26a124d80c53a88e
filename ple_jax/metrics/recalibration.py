"""Recalibration: probabilities that are right on average, fitted on held-out rows.

Both keep the order of scores, so that no AUC changes but by ties of isotonic steps.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from ple_jax.metrics.exact import sigmoid

STEPS = 50  # of Newton's method, at most


class Platt(NamedTuple):
    """p = s(slope z + offset) of a logit z."""

    slope: float
    offset: float

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Recalibrated probabilities."""
        return sigmoid(self.logits(logits))

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Their logits."""
        return self.slope * np.asarray(logits, np.float64) + self.offset

    @property
    def rises(self) -> bool:
        """Whether a higher logit gives a higher probability."""
        return self.slope > 0

    @classmethod
    def fit(
        cls,
        logits: np.ndarray,  # (B,)
        labels: np.ndarray,  # (B,) 0 or 1
        weights: np.ndarray | None = None,  # (B,)
    ) -> "Platt":
        """The most likely slope and offset, by Newton's method.

        Labels are replaced by (N+ + 1) / (N+ + 2) and 1 / (N- + 2), so that perfectly
        ranked rows have an end. Reference: Platt, 1999, section 2.2; Lin et al.,
        Machine Learning 2007.
        """
        z, y, w = _columns(logits, labels, weights)
        positive = y > 0.5
        n, p = float(w[~positive].sum()), float(w[positive].sum())
        target = np.where(positive, (p + 1) / (p + 2), 1 / (n + 2))
        x, found = np.stack([z, np.ones_like(z)]), np.array([1.0, 0.0])
        loss = lambda at: float(w @ (np.logaddexp(0, at @ x) - target * (at @ x)))
        for _ in range(STEPS):
            q = sigmoid(found @ x)
            gradient = x @ (w * (q - target))
            hessian = (x * (w * q * (1 - q))) @ x.T + 1e-9 * np.eye(2)
            step, size, before = np.linalg.solve(hessian, gradient), 1.0, loss(found)
            while size > 1e-9 and loss(found - size * step) > before:
                size /= 2
            found = found - size * step
            if np.abs(size * step).max() < 1e-10:
                break
        return cls(float(found[0]), float(found[1]))


class Isotonic(NamedTuple):
    """p rises with the logit: linear between the ends of its steps, level outside."""

    points: np.ndarray  # (K,) logits, rising
    probabilities: np.ndarray  # (K,) never falling, above 0 and below 1

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Recalibrated probabilities."""
        return np.interp(logits, self.points, self.probabilities)

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Their logits, which are finite."""
        return special.logit(self(logits))

    @property
    def rises(self) -> bool:
        """Whether some logit gives a higher probability than another."""
        return bool(self.probabilities[-1] > self.probabilities[0])

    @classmethod
    def fit(
        cls,
        logits: np.ndarray,  # (B,)
        labels: np.ndarray,  # (B,) 0 or 1
        weights: np.ndarray | None = None,  # (B,)
    ) -> "Isotonic":
        """The rising steps of least squared error; equal logits are one point.

        Probabilities are kept within 1 / (n + 2) of 0 and 1, of n the sum of weights,
        so that no row is certain.

        Reference: Zadrozny and Elkan, KDD 2002.
        """
        z, y, w = _columns(logits, labels, weights)
        z, y, w = z[w > 0], y[w > 0], w[w > 0]
        points, place = np.unique(z, return_inverse=True)
        total = np.bincount(place, w)
        means = np.bincount(place, w * y) / total
        fitted = optimize.isotonic_regression(means, weights=total).x
        # Inside a step a point says nothing that its ends do not.
        inner = np.zeros(len(points), bool)
        inner[1:-1] = (fitted[1:-1] == fitted[:-2]) & (fitted[1:-1] == fitted[2:])
        least = 1 / (w.sum() + 2)
        return cls(points[~inner], np.clip(fitted[~inner], least, 1 - least))


METHODS: dict[str, type[Platt | Isotonic]] = {"platt": Platt, "isotonic": Isotonic}


def _columns(logits, labels, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z, y = (np.asarray(a, np.float64) for a in (logits, labels))
    w = np.ones(len(z)) if weights is None else np.asarray(weights, np.float64)
    if not (np.any(w[y > 0.5]) and np.any(w[y <= 0.5])):
        raise ValueError(
            "Recalibration needs labels of both classes, got "
            f"{int((y > 0.5).sum())} positives among {len(y)}."
        )
    return z, y, w
