"""Training metrics: summed on the device, computed on the host once per epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ple_jax import losses
from ple_jax.metrics import errors, exact
from ple_jax.metrics.curves import Curve
from ple_jax.parallel.mesh import put
from ple_jax.schema import Task
from ple_jax.types import Array, Batch

BINS = 8192
LIMIT = 16.0  # larger logits fall into the outermost bins


class Stream(flax.struct.PyTreeNode):
    """Mergeable sums by domain and task: adding two streams gives that of both.

    Counts are int32, exact up to 2^31 examples. Sums are float32 and carry the rounding
    error of each batch (Kahan), so their relative error stays about 1e-6.
    """

    histogram: jax.Array  # (N, T, 2, BINS) int32: negatives and positives by logit
    sums: jax.Array  # (N, T, 4): the fields of `exact.Sums`
    carry: jax.Array  # (N, T, 4): how much `sums` is too large by rounding


def init(num_domains: int, tasks: Sequence[Task]) -> Stream:
    """The stream before the first batch."""
    shape = (num_domains, len(tasks))
    return Stream(
        histogram=jnp.zeros((*shape, 2, BINS), jnp.int32),
        sums=jnp.zeros((*shape, 4), jnp.float32),
        carry=jnp.zeros((*shape, 4), jnp.float32),
    )


def emptied(stream: Stream) -> Stream:
    """A stream of zeros, placed like this one."""
    zeros = lambda leaf: np.zeros(leaf.shape, leaf.dtype)
    places = jax.tree.map(lambda leaf: leaf.sharding, stream)
    return put(jax.tree.map(zeros, stream), places)


def update(
    stream: Stream,
    logits: jax.Array,  # (B, T)
    batch: Batch,
    tasks: Sequence[Task],
) -> Stream:
    """Adds a batch to the stream."""
    num_domains, num_tasks = stream.histogram.shape[:2]
    seen, labels = batch.observed, batch.labels
    bins = ((logits + LIMIT) * (BINS / (2 * LIMIT))).astype(jnp.int32)
    index = (
        batch.domain[:, None],
        np.arange(num_tasks)[None],
        (labels > 0.5).astype(jnp.int32),
        jnp.clip(bins, 0, BINS - 1),
    )
    histogram = stream.histogram.at[index].add(
        seen.astype(jnp.int32), mode="promise_in_bounds"
    )
    each = example_errors(logits, labels, tasks)
    ones = jnp.ones_like(logits)
    values = jnp.stack([ones, each, jax.nn.sigmoid(logits), labels], axis=-1)
    values = values * (seen * batch.weights[:, None])[:, :, None]  # (B, T, 4)
    if num_domains == 1:
        added = values.sum(axis=0)[None]
    else:
        added = jax.ops.segment_sum(values, batch.domain, num_domains)
    sums, carry = add_exactly(stream.sums, added, stream.carry)
    return Stream(histogram, sums, carry)


def example_errors(
    logits: jax.Array,  # (B, T)
    labels: Array,  # (B, T)
    tasks: Sequence[Task],
) -> jax.Array:  # (B, T)
    """Cross-entropy, or the first error of a task whose label is a number."""
    simple = [Task(t.name, loss="binary" if t.is_binary else "squared") for t in tasks]
    if all(task.is_binary or task.loss == "squared" for task in tasks):
        return losses.example_losses(logits, labels, simple)
    columns = [
        losses.binary_cross_entropy(z, y) if task.is_binary else first_error(task)(z, y)
        for z, y, task in zip(logits.T, labels.T, tasks, strict=True)
    ]
    return jnp.stack(columns, axis=-1)


def first_error(task: Task) -> errors.Error:
    """The error of a task that an epoch of training measures."""
    return next(iter(errors.errors(task, jnp).values()))


def add_exactly(
    total: jax.Array, added: jax.Array, carry: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Adds by Kahan's method: the rounding error of this sum corrects the next."""
    added = added - carry
    new = total + added
    # The barrier stops XLA from simplifying the difference to zero.
    grown = jax.lax.optimization_barrier(new) - total
    return new, grown - added


def compute(
    stream: Stream, tasks: Sequence[Task], domains: Sequence[str]
) -> dict[str, Any]:
    """Computes "tasks" and "domains" of `exact.report`, without AUC-PR and grouped AUC.

    Scores in one bin, 1/256 wide, count as equal. This changes "auc_roc" by less than
    1e-4 if the logits have a standard deviation of at least 0.25.

    Raises:
        OverflowError: A count exceeds 2^31.
    """
    histogram = np.asarray(stream.histogram)
    if (histogram < 0).any():
        raise OverflowError(
            "A bin of the stream has more than 2^31 examples: start a new stream."
        )
    sums = np.asarray(stream.sums, np.float64) - np.asarray(stream.carry, np.float64)

    def measure_tasks(counts, sums):
        return {
            task.name: _measure(task, counts[i], exact.Sums(*sums[i].tolist()))
            for i, task in enumerate(tasks)
        }

    by_domain = {
        name: measure_tasks(histogram[i], sums[i]) for i, name in enumerate(domains)
    }
    overall = measure_tasks(histogram.sum(axis=0, dtype=np.int64), sums.sum(axis=0))
    return {"tasks": overall, "domains": by_domain}


def _measure(task: Task, counts: np.ndarray, sums: exact.Sums) -> exact.Measured:
    negatives, positives = counts[:, ::-1].astype(np.float64)
    if not task.is_binary:
        means = {errors.MEANS[task.loss][0]: sums.mean_loss()}
        return errors.measured(means, int(counts.sum(dtype=np.int64)))
    return exact.binary_metrics(sums, Curve(positives, negatives))


def loss_of(measured: exact.Measured, deviation: float = 1.0) -> float | None:
    """A task's mean loss: log loss, or its first error in deviations of the label."""
    if "log_loss" in measured:
        return measured["log_loss"]
    name = next(name for name in measured if name in errors.POWERS)
    error = measured[name]
    return None if error is None else error / deviation ** errors.POWERS[name]


def total_loss(
    tasks: Mapping[str, exact.Measured], deviations: Sequence[float]
) -> float:
    """The sum of the tasks' mean losses, unweighted, in the units that train them."""
    each = zip(tasks.values(), deviations, strict=True)
    return sum(loss_of(measured, deviation) or 0.0 for measured, deviation in each)
