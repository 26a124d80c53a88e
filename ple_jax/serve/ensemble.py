"""Several runs as one scorer: the mean of their logits."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ple_jax import config
from ple_jax.config.sweep import SEED
from ple_jax.parallel.mesh import state_shardings
from ple_jax.runs.directory import Run
from ple_jax.serve.files import Loaded, load_scorer
from ple_jax.train import recalibrate, vmapped
from ple_jax.train.trainer import Trainer
from ple_jax.types import Batch, PyTree


def load_ensemble(runs: Sequence[Run]) -> Loaded:
    """Builds the scorer of R runs of one data set, and restores their variables.

        z = (1 / R) sum_r z_r

    Each run's logits are recalibrated as its own are, before the mean is taken. Runs
    that differ in seeds alone are scored by one vmapped program. A single run is
    scored as it is.

    Differs from the paper: the mean is of logits, not of probabilities.
    Reference: Lakshminarayanan et al., NeurIPS 2017, section 2.4.

    Raises:
        ValueError: A run has no checkpoint yet.
    """
    if len(runs) == 1:
        return load_scorer(runs[0])
    loaded = [load_scorer(run) for run in runs]
    first, parts = loaded[0][0], grouped(runs)
    trainers = [trainer_of([runs[i] for i in part], first.mesh) for part in parts]
    variables = [stacked([loaded[i][1] for i in part]) for part in parts]
    places = [
        state_shardings(first.mesh, own, True, trainer.replicated)
        for own, trainer in zip(variables, trainers, strict=True)
    ]
    corrected = recalibrate.of_runs([runs[i] for part in parts for i in part])

    @jax.jit
    def score(variables: list[PyTree], batch: Batch) -> jax.Array:  # (B, T)
        pairs = zip(trainers, variables, strict=True)
        each = [trainer.score(own, batch) for trainer, own in pairs]  # (B, R of it, T)
        logits = jnp.concatenate(each, axis=1)
        return logits.mean(axis=1) if corrected is None else logits

    scorer = dataclasses.replace(first, score=score, recalibration=corrected)
    return scorer, jax.device_put(variables, places)


def grouped(runs: Sequence[Run]) -> list[list[int]]:
    """The places of runs that differ in seeds alone, together."""
    groups: dict[str, list[int]] = {}
    for i, run in enumerate(runs):
        same = {k: v for k, v in config.flat(run.experiment).items() if k != SEED}
        groups.setdefault(repr(same), []).append(i)
    return list(groups.values())


def trainer_of(runs: Sequence[Run], mesh: jax.sharding.Mesh) -> Trainer:
    """The functions of all of them, of which `score` gives logits (B, R, T)."""
    experiments = [run.experiment for run in runs]
    return vmapped.trainer_of(experiments, runs[0].data.layout, mesh=mesh)


def stacked(trees: Sequence[PyTree]) -> PyTree:
    """Their leaves side by side, along a leading axis R."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
