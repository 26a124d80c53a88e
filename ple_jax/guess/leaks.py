"""Columns that tell a label by themselves."""

from collections.abc import Mapping

import numpy as np

from ple_jax.guess.columns import Column
from ple_jax.metrics.alone import auc_either_way, auc_of_means

SUSPECT = 0.98  # AUC of one column alone
MOST_ROWS = 100_000
FEWEST = 20  # positives to measure with


def telling(column: Column, labels: Mapping[str, np.ndarray]) -> str | None:
    """Says which label a column tells alone, and how well; None if it tells none.

    Its values' mean labels are fitted on every other row and measured on the rest.
    """
    for name, all_labels in labels.items():
        rows = np.flatnonzero(np.isfinite(all_labels[:MOST_ROWS]))
        y, codes = all_labels[rows], column.codes[rows]
        fit = np.arange(len(rows)) % 2 == 0
        if y[~fit].sum() < FEWEST:
            continue
        found = [auc_of_means(codes, y, fit)]
        if column.is_numeric:
            found.append(auc_either_way(column.numbers[codes], y))
        best = max(area or 0.0 for area in found)
        if best > SUSPECT:
            return f"tells {name!r} alone, with an AUC of {best:.4f}"
    return None
