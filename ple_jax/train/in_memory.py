"""Training in memory: examples in, variables out, and nothing on disk.

It is for small data and many fits, such as those of a cross-validation: fits of one
experiment on data of one layout share their compiled programs. `loop` is what trains a
run that can be resumed.
"""

import dataclasses
import functools
import tomllib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from ple_jax import config
from ple_jax.config.experiment import Experiment, Train
from ple_jax.data.examples import Examples
from ple_jax.data.loader import Loader, batches_in_order
from ple_jax.layout import Bag, IdColumn, Layout
from ple_jax.metrics import exact
from ple_jax.parallel.mesh import make_mesh, state_shardings
from ple_jax.train import evaluate
from ple_jax.train.feed import Feed
from ple_jax.train.progress import Standing
from ple_jax.train.state import TrainState, jit_init, variables_of
from ple_jax.train.trainer import Trainer, jitted, step_of
from ple_jax.types import PyTree

PROGRAMS = 32  # of experiments and layouts that are kept


class Fitted(NamedTuple):
    """The variables of the best epoch, as NumPy arrays, and how it went."""

    variables: PyTree
    epochs: int  # trained
    best_epoch: int  # from 1


def fit(
    experiment: Experiment,
    layout: Layout,
    train: Examples,
    validation: Examples | None = None,
) -> Fitted:
    """Trains until the last epoch, or until patience is spent; keeps the best epoch.

    Without validation, it trains all epochs and keeps the last. The host sends every
    batch, so that the program does not depend on the number of rows.

    Raises:
        ValueError: The batch is larger than `train`, there is no such metric or it is
            undefined on validation, a score is not finite, or rows are to be read by
            blocks.
    """
    settings = experiment.train
    if settings.order != "full":
        raise ValueError(
            f"train.order must be 'full' for rows in memory, got {settings.order!r}."
        )
    metric = evaluate.resolve_metric(settings.metric, layout)
    mix, heat = settings.sampling, settings.temperature
    loader = Loader(
        train, settings.batch_size, settings.seed, sampling=mix, temperature=heat
    )
    init, trainer = _program(experiment, layout, loader.steps_per_epoch)
    mesh = make_mesh(settings.devices or settings.mesh.data)
    feed = Feed(loader, settings, mesh, trainer.prepare, None)
    state = init(np.uint32(settings.seed % 2**32))
    state = jax.device_put(state, state_shardings(mesh, state))
    standing, best = Standing(), None
    while not standing.is_finished(settings):
        for batches, count in feed.chunks(standing.epochs, 0):
            state, _ = trainer.steps(state, batches, count)
        variables, score = variables_of(state), float(standing.epochs)
        if validation is not None:
            logits = _scored(trainer, settings, variables, validation)
            score = _measured(logits, validation, layout, metric)
        standing = standing.after_epoch(score, standing.epochs + 1)
        if not standing.epochs_since_best:
            best = jax.tree.map(np.array, variables)  # the next step donates them
    return Fitted(best, standing.epochs, standing.best_step)


def logits_of(
    experiment: Experiment, layout: Layout, variables: PyTree, examples: Examples
) -> np.ndarray:  # (rows, T)
    """Logits of all examples, in order."""
    _, trainer = _program(experiment, layout, 1)
    mesh = make_mesh(experiment.train.devices or experiment.train.mesh.data)
    placed = jax.device_put(variables, state_shardings(mesh, variables))
    return _scored(trainer, experiment.train, placed, examples)


def _scored(
    trainer: Trainer, settings: Train, variables: PyTree, examples: Examples
) -> np.ndarray:  # (rows, T)
    batches = batches_in_order(examples, settings.eval_batch_size)
    each = [np.asarray(trainer.score(variables, b))[:rows] for b, rows in batches]
    return np.concatenate(each)


def _measured(
    logits: np.ndarray, examples: Examples, layout: Layout, metric: str
) -> float:
    """The metric that chooses the best epoch, as a score of which higher is better."""
    e, tasks = examples, layout.tasks
    measured = exact.report(
        logits, e.labels, e.observed, e.weights, e.domain, tasks, layout.domains
    )
    return evaluate.score_of(evaluate.chosen_metric(measured, metric), metric)


def with_spare_rows(layout: Layout) -> Layout:
    """The layout with tables of round sizes, so that similar data share programs.

    A table grows by up to a quarter, or to 16 rows; no id means the new ones.
    """

    def roomy(column: IdColumn | Bag) -> Any:
        step = max(16, (1 << column.rows.bit_length()) >> 3)
        return dataclasses.replace(column, rows=-(-column.rows // step) * step)

    ids, bags = tuple(map(roomy, layout.ids)), tuple(map(roomy, layout.bags))
    return dataclasses.replace(layout, ids=ids, bags=bags)


class _Program(NamedTuple):
    init: Callable[[np.uint32], TrainState]  # of a seed
    trainer: Trainer


def _program(experiment: Experiment, layout: Layout, steps_per_epoch: int) -> _Program:
    """The jitted functions, which fits share."""
    # A constant rate and constant weights read no clock, so that any length will do.
    train, kind = experiment.train, experiment.weighting.kind
    timeless = train.schedule == "constant" and kind == "fixed"
    unseeded = config.with_values(experiment, {"train.seed": 0, "train.epochs": 1})
    text = config.to_toml(unseeded if timeless else experiment)
    return _program_of(text, layout, 1 if timeless else steps_per_epoch)


@functools.lru_cache(PROGRAMS)
def _program_of(text: str, layout: Layout, steps_per_epoch: int) -> _Program:
    experiment = config.from_dict(tomllib.loads(text))

    def init(seed: jax.Array) -> TrainState:
        seeded = config.with_values(experiment, {"train.seed": seed})
        return step_of(seeded, layout, steps_per_epoch).init()

    made = step_of(experiment, layout, steps_per_epoch)
    return _Program(jit_init(init, made.tables), jitted(made))
