"""Which loss suits a label that is a number: by its values, and by its name.

    values                                        name        loss
    small whole numbers from 0 on, often 0        any         poisson
    from 0 on, 0 in 80 % of rows or more          of a time   weighted_logistic
    from 0 on, 0 in 20 % of rows or more          of a time   poisson
    long tail                                     of a time   quantile, the median
    long tail                                     others      huber
    long tail                                     of money    squared
    others                                        any         squared

A tail is long if the deviation is more than three times that of a normal distribution
with the same quartiles. Money keeps its mean, tail and all: that is what is earned.
"""

from functools import partial

import numpy as np

from ple_jax.guess import names
from ple_jax.guess.columns import Column
from ple_jax.schema import Task

OFTEN, MOSTLY = 0.2, 0.8  # shares of zeros
LARGEST_COUNT, LARGEST_MEAN = 1000, 10
LONG = 3.0
QUARTILES = 1.349  # between those of a normal distribution, in its deviations


def of_number(column: Column) -> tuple[Task, str]:
    """The task of a column of numbers, and why it has its loss."""
    counts = column.counts
    numbers = np.repeat(column.numbers[:-1], counts)
    zeros, is_amount = float(np.mean(numbers == 0)), bool(numbers.min() >= 0)
    is_time = names.hints(column.name, names.DURATIONS)
    task, often = partial(Task, column.name), f"{zeros:.0%} are 0"
    if is_amount and column.is_whole and is_count(numbers, zeros):
        return task(loss="poisson"), f"a count: small whole numbers from 0 on, {often}"
    if is_amount and is_time and zeros >= MOSTLY:
        return task(loss="weighted_logistic"), f"an amount of time, {often}"
    if is_amount and is_time and zeros >= OFTEN:
        why = f"an amount of time, {often}: its mean; weighted_logistic needs more"
        return task(loss="poisson"), why
    within = float(np.subtract(*np.quantile(numbers, (0.75, 0.25))))
    if not 0 < within < QUARTILES * np.std(numbers) / LONG:
        return task(loss="squared"), "a number: its mean"
    if is_time:
        return task(loss="quantile"), "an amount of time with a long tail: its median"
    if names.hints(column.name, names.MONEY):
        return task(loss="squared"), "an amount of money: its mean, with its long tail"
    delta = float(f"{within:.2g}")
    return task(loss="huber", delta=delta), (
        "a number with a long tail: a mean that it hardly moves; delta is the distance "
        "of the quartiles"
    )


def is_count(numbers: np.ndarray, zeros: float) -> bool:
    """Whether whole numbers from 0 on are small and often 0."""
    is_small = numbers.max() <= LARGEST_COUNT and numbers.mean() <= LARGEST_MEAN
    return bool(is_small and zeros >= OFTEN)
