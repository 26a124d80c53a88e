"""The update rules by name, in both forms: for whole arrays, and for rows of tables."""

from collections.abc import Callable
from typing import NamedTuple

import optax

from ple_jax.optim import rows
from ple_jax.optim.rows import RowOptimizer


class Rule(NamedTuple):
    """One update rule.

    Attributes:
        dense: Builds the Optax transformation, before decay and learning rate; None
            for a rule that exists for rows only.
        rows: Builds the row optimizer from a weight decay.
    """

    dense: Callable[[], optax.GradientTransformation] | None
    rows: Callable[[float], RowOptimizer]


RULES = {
    "sgd": Rule(optax.identity, rows.sgd),
    "adagrad": Rule(optax.scale_by_rss, rows.adagrad),
    "rowwise_adagrad": Rule(None, rows.rowwise_adagrad),
    "adam": Rule(optax.scale_by_adam, rows.adam),
}
