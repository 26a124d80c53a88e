"""What is planned: an experiment and the sizes of its data, without their rows."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from ple_jax import datasets
from ple_jax.checks import at_least, check_known
from ple_jax.config.experiment import Experiment, Plugin
from ple_jax.config.sweep import Trial
from ple_jax.data.loader import shapes_of
from ple_jax.data.prepare import cached
from ple_jax.data.store import Prepared
from ple_jax.embeddings.tables import MAX_ROWS
from ple_jax.layout import Bag, IdColumn, Layout
from ple_jax.runs.defaults import resolved
from ple_jax.runs.directory import prepare_data
from ple_jax.train.grouping import alike
from ple_jax.types import PyTree

DRAWN = "synthetic"  # prepared in no time


class Job(NamedTuple):
    """An experiment with numbers for each `auto`, and what it trains on.

    Trials that one program trains are one job, whose `experiment` is that of the first.
    """

    experiment: Experiment
    layout: Layout
    examples: int  # of train
    trials: tuple[Trial, ...] = ()  # all of the program, with their names

    @property
    def experiments(self) -> list[Experiment]:
        """Each trial's, or the one."""
        return [trial.experiment for trial in self.trials] or [self.experiment]

    @property
    def orders(self) -> int:
        """How many batches a step takes: trials that read in one order share theirs."""
        trains = [one.train for one in self.experiments]
        return len({(train.seed, train.temperature) for train in trains})

    @property
    def batch_size(self) -> int:
        """Examples in a step, over all devices."""
        return int(self.experiment.train.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of train."""
        return max(self.examples // self.batch_size, 1)

    @property
    def example_bytes(self) -> int:
        """Bytes of an example, as the host reads and sends it."""
        return bytes_of(shapes_of(self.layout, 1))


def job_of(
    experiment: Experiment,
    rows: Mapping[str, int] | None = None,
    examples: int | None = None,
) -> Job:
    """The job of one trial; the rest is as of `jobs_of`."""
    return jobs_of([Trial("", "", experiment)], rows, examples)[0]


def jobs_of(
    trials: Sequence[Trial],
    rows: Mapping[str, int] | None = None,
    examples: int | None = None,
) -> list[Job]:
    """The jobs of trials on a data set that is prepared, or drawn: one a program.

    Args:
        trials: What would be trained, on one data set.
        rows: Table -> rows that it is to have instead, the unknown's included: those
            of all data, where a sample is prepared.
        examples: Examples that train is to have instead.

    Raises:
        ValueError: The data set is not prepared, or a table is not known.
    """
    data = prepared(trials[0].experiment.data)
    layout = resized(data.layout, rows or {})
    count = examples or data.facts["splits"]["train"]["rows"]
    each = [resolved(trial.experiment, layout, count) for trial in trials]
    found = []
    for group in alike(each, layout):
        own = tuple(trials[i]._replace(experiment=each[i]) for i in group)
        found.append(Job(own[0].experiment, layout, count, own))
    return found


def prepared(plugin: Plugin) -> Prepared:
    """The prepared data set of a `[data]` section, which is not prepared here.

    Raises:
        ValueError: It is neither prepared nor drawn.
    """
    source = datasets.find(plugin.kind).build(**plugin.options)
    if isinstance(source, Prepared):
        return source
    place = cached(source)
    if place.exists():
        return Prepared.open(place)
    if plugin.kind == DRAWN:
        return prepare_data(plugin)
    raise ValueError(
        f"The data set {plugin.kind!r} is not prepared, and a plan needs the sizes of "
        "its vocabularies and of train: `ple-jax prepare EXPERIMENT.toml` first, with "
        "these files or a sample of them (then --rows and --examples say the rest)."
    )


def resized(layout: Layout, rows: Mapping[str, int]) -> Layout:
    """The layout with other numbers of rows of some tables."""
    columns: tuple[IdColumn | Bag, ...] = (*layout.ids, *layout.bags)
    for table, count in rows.items():
        check_known(table, {c.table: None for c in columns}, "table (--rows)")
        at_least(1, **{f"--rows {table}": count})
        if count > MAX_ROWS:
            raise ValueError(
                f"--rows {table} must be at most {MAX_ROWS:,} (2^31 - 1), since ids "
                f"are int32, got {count:,}."
            )
    of = lambda c: dataclasses.replace(c, rows=rows.get(c.table, c.rows))
    return dataclasses.replace(
        layout, ids=tuple(map(of, layout.ids)), bags=tuple(map(of, layout.bags))
    )


def bytes_of(tree: PyTree) -> int:
    """Bytes of all arrays of a tree of shapes."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(x.shape) * np.dtype(x.dtype).itemsize for x in leaves)


def bytes_of_device(tree: PyTree) -> int:
    """Bytes of them that lie on one device, by their places."""
    local = lambda x: jax.ShapeDtypeStruct(x.sharding.shard_shape(x.shape), x.dtype)
    return bytes_of(jax.tree.map(local, tree))
