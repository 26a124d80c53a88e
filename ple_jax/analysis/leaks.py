"""Fields that tell a label alone, or number the rows."""

import numpy as np

from ple_jax.analysis.raw import Raw, RawField
from ple_jax.metrics.alone import auc_either_way, auc_of_means

SUSPECT = 0.98  # AUC of a field alone
ID_LIKE = 0.95  # values a row
FEWEST = 10  # examples of each class on validation
BINS = 64


def alone(raw: Raw, field: RawField) -> dict[str, float | None]:
    """Task -> the AUC on validation of a field alone; None where it is undefined.

    A category is scored by the mean label of its value in train, a number by itself or
    by that of its quantile, whichever is better; lists are not scored.
    """
    binary = [(i, t.name) for i, t in enumerate(raw.schema.tasks) if t.is_binary]
    if field.field.kind not in ("categorical", "numeric"):
        return {name: None for _, name in binary}
    return {name: _alone(raw, field, i) for i, name in binary}


def _alone(raw: Raw, field: RawField, task: int) -> float | None:
    train, validation = raw.rows_of("train"), raw.rows_of("validation")
    rows = np.flatnonzero(raw.observed[:, task] & (train | validation))
    y, fit, codes = raw.labels[rows, task], train[rows], field.codes[rows]
    ones, count = y[~fit].sum(), (~fit).sum()
    if min(ones, count - ones) < FEWEST:
        return None
    found = [auc_of_means(codes, y, fit)]
    if field.numbers is not None:
        numbers = field.numbers[rows]
        cuts = np.nanquantile(numbers[fit], np.arange(1, BINS) / BINS)
        found.append(auc_either_way(numbers[~fit], y[~fit]))
        found.append(auc_of_means(np.searchsorted(cuts, numbers), y, fit))
    return max(area or 0.0 for area in found)


def is_id_like(field: RawField) -> bool:
    """Whether a categorical field has hardly more rows than values."""
    rows = int((field.codes < field.values).sum())
    return field.field.kind == "categorical" and field.values > ID_LIKE * rows > 0
