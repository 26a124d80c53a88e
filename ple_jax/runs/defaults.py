"""What `auto` means in an experiment: numbers, by stated rules of the data's sizes.

No rule reads a label or a score, and each is a function of what it names alone.
benchmarks/README.md has what they were chosen by.
"""

import dataclasses
from typing import Any, Literal

import jax

from ple_jax.config.experiment import AUTO, Experiment, Inputs, Train
from ple_jax.data.store import Prepared
from ple_jax.layout import Layout
from ple_jax.parallel.memory import fits_host

LEAST_STEPS, LEAST_BATCH, MOST_BATCH = 100, 32, 1024
MOST_STEPS, LARGEST_BATCH = 4096, 8192
FEW_ROWS = 50_000  # below, several networks are averaged


def recorded(experiment: Experiment, data: Prepared) -> Experiment:
    """The experiment as a new run records it: with no `auto` that a rule decides.

    `train.metric` too: recordings of before hold `auto`, which is another one there.
    """
    one = resolved_for(experiment, data)
    one = _with(one, dataclasses.replace(one.train, distributed=""))
    if one.inputs.row_order == AUTO:
        order = row_order(one.train.devices or jax.device_count())
        inputs = dataclasses.replace(one.inputs, row_order=order)
        one = dataclasses.replace(one, inputs=inputs)
    binary = [task for task in data.layout.tasks if task.is_binary]
    if one.train.metric != AUTO or len(binary) < 2:
        return one
    metric = f"certain:{AUTO}"
    return _with(one, dataclasses.replace(one.train, metric=metric))


def resolved_for(experiment: Experiment, data: Prepared) -> Experiment:
    """The experiment for a data set, with a value for each `auto`."""
    train = _given(experiment.train, order=order(experiment.train, data))
    rows = data.facts["splits"]["train"]["rows"]
    return resolved(_with(experiment, train), data.layout, rows)


def resolved(experiment: Experiment, layout: Layout, rows: int) -> Experiment:
    """The experiment for `rows` examples of train, with a number for each `auto`."""
    train = _given(experiment.train, batch_size=batch_size(rows))
    steps = max(rows // train.batch_size, 1)  # of an epoch
    rate = learning_rate(train.optimizer, train.batch_size)
    train = _given(
        train, epochs=epochs(steps), patience=patience(steps), learning_rate=rate
    )
    train = _given(train, average_decay=average_decay(experiment.inputs, layout))
    train = _given(train, members=members(train.sampling, rows), order="full")
    return _with(experiment, train)


def row_order(devices: int) -> Literal["frequency", "spread"]:
    """Spread over several devices; on one, by frequency, so that caches hold more."""
    return "spread" if devices > 1 else "frequency"


def batch_size(rows: int) -> int:
    """Examples in a step: a power of two.

    The largest that gives at least 100 steps an epoch, from 32 to 1024; but if an epoch
    had more than 4096 steps, one that does not, up to 8192. Fewer rows than that are
    one step of the largest power of two among them.

    Example:
        >>> [batch_size(rows) for rows in (20, 1000, 12_684, 10**6, 10**7, 10**9)]
        [16, 32, 64, 1024, 4096, 8192]
    """
    size = min(max(_power(rows // LEAST_STEPS), LEAST_BATCH), MOST_BATCH)
    while rows // size > MOST_STEPS and size < LARGEST_BATCH:
        size *= 2
    return min(size, _power(rows))


def _power(count: int) -> int:
    """The largest power of two that is at most `count`, or 1."""
    return 1 << max(count.bit_length() - 1, 0)


def epochs(steps: int) -> int:
    """Epochs of so many steps: 30, or as many as make 3000 steps, but at most 100."""
    return min(max(30, -(-3000 // steps)), 100)


def patience(steps: int) -> int:
    """Epochs of so many steps: 3, or as many as make 300 steps, but at most 10."""
    return min(max(3, -(-300 // steps)), 10)


def learning_rate(optimizer: str, size: int) -> float:
    """0.001 sqrt(size / 64) for Adam, which normalises gradients; otherwise 0.01."""
    return 1e-3 * (size / 64) ** 0.5 if optimizer == "adam" else 1e-2


def members(sampling: str, rows: int) -> int:
    """4 below 50,000 examples, unless batches are of one domain; otherwise 1.

    With more data, networks of one size agree, and their mean gains less than it costs.
    """
    return 4 if rows < FEW_ROWS and not sampling.startswith("one_domain") else 1


def average_decay(inputs: Inputs, layout: Layout) -> float:
    """0.999, or 0 where tables hold over a million numbers, or are updated by rows.

    An average is one more pass over whole tables, and by rows there is none.
    """
    sizes = {c.table: c.rows * (c.dim or inputs.embedding_dim) for c in layout.ids}
    sizes |= {c.table: c.rows * (c.dim or inputs.embedding_dim) for c in layout.bags}
    copies = len(layout.domains) if inputs.per_domain else 1
    copies *= len(layout.tasks) if inputs.per_task else 1
    is_large = copies * sum(sizes.values()) > 1_000_000
    return 0.0 if is_large or inputs.update == "rows" else 0.999


def order(train: Train, data: Prepared) -> str:
    """`blocks` where train does not fit in memory, or is to be read where it lies."""
    if train.data_on == "disk" or data.elsewhere:
        return "blocks"
    can = train.data_on == "auto" and train.sampling == "natural" and data.has_blocks
    return "blocks" if can and not fits_host(data.bytes_of("train")) else "full"


def _given(train: Train, **rules: float | str) -> Train:
    """The settings, with what the rules say for those that are `auto`."""
    wanted: dict[str, Any] = {
        k: v for k, v in rules.items() if getattr(train, k) == AUTO
    }
    return dataclasses.replace(train, **wanted)


def _with(experiment: Experiment, train: Train) -> Experiment:
    return dataclasses.replace(experiment, train=train)
