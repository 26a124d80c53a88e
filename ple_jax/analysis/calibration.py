"""Calibration of a run: by decile, by domain, and after it is fitted on validation."""

from typing import Any

import numpy as np

from ple_jax.analysis.scored import Scored, Seen, is_probability
from ple_jax.metrics import recalibration
from ple_jax.metrics.reliability import BINS, expected_error, reliability


def calibration(
    scored: Scored, fitted_on: Scored | None = None, bins: int = BINS
) -> dict[str, dict[str, Any]]:
    """What each task predicts beside what happens.

    Args:
        scored: A split that a run has scored.
        fitted_on: Another one, best validation, to fit recalibrations on.
        bins: How many bins of equal counts.

    Returns:
        Task -> plain arrays:

        deciles    the arrays of `reliability`
        error      expected calibration error of a probability; None of another label
        ratio      sum of predictions by sum of labels; None if that is 0
        domains    domain -> {"error", "ratio", "examples"}
        after      method -> {"deciles", "error", "ratio"}; {} of what cannot be fitted
    """
    each = {}
    for number, task in enumerate(scored.layout.tasks):
        seen, binary = scored.of(number), is_probability(task)
        each[task.name] = {
            **_facts(seen, seen.predicted, binary, bins),
            "domains": _by_domain(scored, number, binary, bins),
            "after": _after(seen, fitted_on.of(number), bins)
            if fitted_on is not None and binary
            else {},
        }
    return each


def _facts(seen: Seen, predicted: np.ndarray, binary: bool, bins: int) -> dict:
    binned = reliability(predicted, seen.labels, seen.weights, bins)
    total = float(seen.weights @ np.asarray(seen.labels, np.float64))
    return {
        "deciles": binned,
        "error": expected_error(binned) if binary else None,
        "ratio": float(seen.weights @ predicted) / total if total else None,
    }


def _by_domain(scored: Scored, number: int, binary: bool, bins: int) -> dict[str, Any]:
    """Domain -> what its own rows say; {} of a single domain."""
    domains = scored.layout.domains
    found = {}
    for place, name in enumerate(domains if len(domains) > 1 else ()):
        seen = scored.of(number, scored.examples.domain == place)
        facts = _facts(seen, seen.predicted, binary, bins)
        del facts["deciles"]
        found[name] = {**facts, "examples": len(seen.rows)}
    return found


def _after(seen: Seen, fit: Seen, bins: int) -> dict[str, Any]:
    found = {}
    for name, kind in recalibration.METHODS.items():
        if 0 < (fit.labels[fit.weights > 0] > 0.5).mean() < 1:
            new = kind.fit(fit.logits, fit.labels, fit.weights)(seen.logits)
            found[name] = _facts(seen, new, True, bins)
    return found
