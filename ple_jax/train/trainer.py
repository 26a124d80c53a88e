"""From an experiment to its jitted functions: what joins the parts of a step."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import flax.linen as nn
import jax
from jax.sharding import Mesh

from ple_jax import config, models, weightings
from ple_jax.config.experiment import Experiment, Train
from ple_jax.embeddings import sparsecore
from ple_jax.embeddings.choose import replicated
from ple_jax.embeddings.tables import Tables
from ple_jax.embeddings.updates import row_updates
from ple_jax.layers.members import Members
from ple_jax.layout import Layout
from ple_jax.optim.dense import learning_rate, make_optimizer
from ple_jax.train.parts import check_no_batch_statistics, in_parts
from ple_jax.train.state import TrainState, jit_init
from ple_jax.train.step import Step
from ple_jax.types import Batch, Picks, PyTree
from ple_jax.weightings import Weighting

NONE: Mapping[str, float] = MappingProxyType({})


class Trainer(NamedTuple):
    """The pure functions of one experiment, jitted: a program each."""

    init: Callable[[], TrainState]
    init_at: Callable[[PyTree], TrainState]  # the same, each array in its place
    shapes: Callable[[], TrainState]  # those of `init`, which does not run
    # Donates the state; the second result is ready when the first is, and of devices
    # that exchange rows it counts the exchanges that took more than one round.
    steps: Callable[[TrainState, Batch | Picks, int], tuple[TrainState, jax.Array]]
    score: Callable[[PyTree, Batch], jax.Array]  # variables -> logits (B, T)
    # The same program, which also gives the mean weights (G, E) of each level's gates.
    watch: Callable[[PyTree, Batch], tuple[jax.Array, PyTree]]
    prepare: Callable[[Batch], Batch]  # finds a batch's unique table rows on the host
    prepares: bool  # whether it does: only where the host is faster
    replicated: frozenset[str]  # fused tables that every device has a copy of


def trainer_of(
    experiment: Experiment,
    layout: Layout,
    steps_per_epoch: int = 1,
    mesh: Mesh | None = None,
    exchanged: Mapping[str, float] = NONE,
) -> Trainer:
    """The pure functions of an experiment on a data set of this layout."""
    return jitted(step_of(experiment, layout, steps_per_epoch, mesh, exchanged))


def jitted(step: Step) -> Trainer:
    """The pure functions of a step, jitted."""
    watch = jax.jit(step.score)
    return Trainer(
        jit_init(step.init, step.tables),
        lambda places: jit_init(step.init, step.tables, places)(),
        partial(jax.eval_shape, step.init),
        jit_steps(step),
        lambda variables, batch: watch(variables, batch)[0],
        watch,
        step.rows.prepare_on_host,
        step.rows.finds_on_host,
        step.tables.replicated,
    )


def jit_steps(step: Step) -> Callable:
    """Jits the steps of a state, which they take the place of."""
    if step.rows.by_cores:
        return sparsecore.in_format(step.steps, step.tables, jax.eval_shape(step.init))
    return jax.jit(step.steps, donate_argnums=0)


def step_of(
    experiment: Experiment,
    layout: Layout,
    steps_per_epoch: int,
    mesh: Mesh | None = None,
    exchanged: Mapping[str, float] = NONE,
) -> Step:
    """The step of an experiment on a data set of this layout.

    A knob that is still `auto` is what it was before it fitted the data. On a `mesh` of
    several devices tables have rows that divide evenly among them; `exchanged` is as of
    `Tables`.
    """
    experiment = config.with_constants(experiment)

    def model_of(num_domains: int) -> nn.Module:
        model = models.build(
            experiment.model.kind,
            num_tasks=len(layout.tasks),
            num_domains=num_domains,
            remat=experiment.train.remat,
            **experiment.model.options,
        )
        members = experiment.train.members
        return model if members == 1 else Members(model, members)

    weighting = weightings.build(
        experiment.weighting.kind, **experiment.weighting.options
    )
    train = experiment.train
    tables = Tables(layout, experiment.inputs, mesh, exchanged)
    tables = dataclasses.replace(tables, replicated=replicated(tables, train))
    alone = model_of(1) if train.sampling.startswith("one_domain") else None
    model = model_of(len(layout.domains))
    if tables.inputs.per_task:
        models.check_reads_per_task(model, experiment.model.kind)
    return make_step(model, tables, weighting, train, steps_per_epoch, alone)


def make_step(
    model: nn.Module,
    tables: Tables,
    weighting: Weighting,
    train: Train,
    steps_per_epoch: int,
    alone: nn.Module | None = None,
) -> Step:
    """Joins a model, its input, a weighting and an optimizer.

    Args:
        model: What is trained.
        tables: What it reads.
        weighting: How its tasks' losses become one.
        train: How it is trained.
        steps_per_epoch: For the clocks of schedules.
        alone: The same model for a single domain, if every batch holds one domain: it
            then works on that domain's share of the parameters alone.
    """
    total_steps = train.epochs * steps_per_epoch
    tx = make_optimizer(train, total_steps, getattr(model, "rate_multipliers", {}))
    rate = learning_rate(train, total_steps)
    rows = row_updates(tables, train, rate)
    if rows.exchanges and weighting.merge is not None:
        raise ValueError(
            "A weighting that merges gradients itself needs them whole, but devices "
            "that exchange rows have a part each: train on one device "
            "(train.devices = 1), or with inputs.update = 'dense'."
        )
    cut = lambda model: in_parts(model, train.parts, train.batch_size)
    step = Step(cut(model), tables, weighting, train, tx, rows, steps_per_epoch)
    if train.parts > 1:
        check_no_batch_statistics(jax.eval_shape(step.init))
    return step if alone is None else step.by_domain(cut(alone))
