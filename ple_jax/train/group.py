"""The loop of replicas: one program, and for each its journal and its best epoch."""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.config.experiment import Experiment, Train
from ple_jax.data.loader import Loader, Loaders
from ple_jax.data.store import Prepared
from ple_jax.parallel.mesh import state_shardings
from ple_jax.runs.directory import Run
from ple_jax.runs.journal import Journal
from ple_jax.show import console, tables
from ple_jax.train import loop, vmapped
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.evaluate import Scorer
from ple_jax.train.feed import feed_of
from ple_jax.train.loop import Progress
from ple_jax.train.state import TrainState, variables_of
from ple_jax.train.step import Trainer
from ple_jax.types import PyTree


@dataclasses.dataclass(frozen=True)
class Standing:
    """How one replica stands: its record, and how it ended."""

    progress: Progress
    best_step: int = 0
    diverged: int | None = None  # the step before which it did

    def is_finished(self, train: Train) -> bool:
        """All epochs are done, patience is spent, or it diverged."""
        return self.diverged is not None or self.progress.is_finished(train)

    def after_epoch(self, score: float, step: int) -> "Standing":
        """Knowing an epoch's score."""
        progress = self.progress.after_epoch(score)
        improved = progress.epochs_since_best == 0
        return Standing(progress, step if improved else self.best_step)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Standing":
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**record, "progress": Progress(**record["progress"])})


class Held(NamedTuple):
    """All that a checkpoint of replicas holds."""

    state: TrainState
    best: PyTree  # each replica's best variables so far
    place: Progress  # where all of them are in their data
    standings: tuple[Standing, ...]

    @property
    def step(self) -> int:
        """Steps that each replica took."""
        return int(self.state.step.max())


def fit(
    runs: Sequence[Run], folder: pathlib.Path, resume: bool = False
) -> list[dict[str, Any]]:
    """Trains runs that differ in seeds and traced knobs; returns their final tables.

    Each is measured at its own best epoch. One that diverges or whose patience is spent
    ends there, whatever the others do; its journal has no more epochs.

    Args:
        runs: Of one data set.
        folder: Of the checkpoints of all together, while they train.
        resume: Whether to go on from there.

    Raises:
        Stopped: A signal came; the runs can be resumed where they stopped.
    """
    experiments, data = [run.experiment for run in runs], runs[0].data
    train, mesh = experiments[0].train, loop.checked_mesh(experiments[0], data)
    loader = loader_of(experiments, data)
    shared = isinstance(loader, Loader)
    trainer = vmapped.trainer_of(
        experiments, data.layout, loader.steps_per_epoch, shared
    )
    feed = feed_of(loader, trainer, train, mesh)
    scorer = Scorer(trainer.score, mesh, data, train.eval_batch_size)

    with Checkpoints(folder) as checkpoints, loop.stop_signals() as asked:
        held = start(trainer, mesh, checkpoints, runs, resume)
        journals = [Journal(run.metrics, held.step) for run in runs]

        def save(held: Held, state: TrainState, place: Progress) -> None:
            held = held._replace(state=state, place=place)
            checkpoints.save(state, record_of(held, runs), best=held.best)

        while not all(s.is_finished(train) for s in held.standings):
            state, place, speed = loop.epoch(
                trainer, feed, held.state, held.place, partial(save, held), asked
            )
            held = held._replace(state=state, place=place)
            held, records = after_epoch(runs, scorer, held, speed)
            written = [(j, r) for j, r in zip(journals, records, strict=True) if r]
            for journal, record in written:
                journal.write(record)
            if written:
                measured = [record for _, record in written]
                console.say(tables.replicas_line(measured, train.epochs))
            save(held, held.state, held.place)
            loop.stop_if(asked)
    results = finish(runs, scorer, held)
    shutil.rmtree(folder)
    return results


def start(
    trainer: Trainer,
    mesh: jax.sharding.Mesh,
    checkpoints: Checkpoints,
    runs: Sequence[Run],
    resume: bool,
) -> Held:
    """The initial states, or those of the newest checkpoint."""
    places = state_shardings(mesh, jax.eval_shape(trainer.init), replicas=True)
    state = jax.device_put(trainer.init(), places)
    best = jax.tree.map(jnp.copy, variables_of(state))
    held = Held(state, best, Progress(), (Standing(Progress()),) * len(runs))
    if not resume or checkpoints.latest is None:
        return held
    state, record = checkpoints.restore(state)
    loop.check_identity(runs[0], identity(runs), record)
    return Held(
        state,
        checkpoints.restore_best(best),
        Progress(**record["progress"]),
        tuple(map(Standing.of, record["standings"])),
    )


def identity(runs: Sequence[Run]) -> dict[str, Any]:
    """What decides the orders of examples, and whose replicas they are."""
    names = [run.directory.name for run in runs]
    return {**loop.identity(runs[0]), "replicas": names}


def record_of(held: Held, runs: Sequence[Run]) -> dict[str, Any]:
    """What a checkpoint says beside its arrays, ready for JSON."""
    return {
        **identity(runs),
        "progress": dataclasses.asdict(held.place),
        "standings": [dataclasses.asdict(s) for s in held.standings],
    }


def after_epoch(
    runs: Sequence[Run], scorer: Scorer, held: Held, speed: float
) -> tuple[Held, list[dict[str, Any] | None]]:
    """The start of the next epoch; each replica's record, None of a finished one."""
    logits = scorer.of_split(variables_of(held.state), "validation")
    healthy = np.isfinite(logits).all(axis=(0, 2))
    healthy &= np.asarray(vmapped.finite(held.state.trained))

    def one(i: int) -> tuple[Standing, dict[str, Any] | None]:
        run, standing, step = runs[i], held.standings[i], held.step
        if standing.is_finished(run.experiment.train):
            return standing, None
        if not healthy[i]:
            console.say(f"{run.directory.name} diverged before step {step}")
            return dataclasses.replace(standing, diverged=step), None
        stream = jax.tree.map(lambda leaf: leaf[i], held.state.stream)
        validation = scorer.measured(logits[:, i], "validation")
        record = loop.record_of_epoch(
            run, step, held.place.epoch, speed, stream, validation
        )
        standing = standing.after_epoch(record["score"], step)
        return standing, {**record, "improved": standing.best_step == step}

    standings, records = zip(*map(one, range(len(runs))), strict=True)
    improved = np.array([bool(r and r["improved"]) for r in records])
    start = jax.tree.map(jnp.zeros_like, held.state.stream)
    best = vmapped.selected(improved, variables_of(held.state), held.best)
    state, place = held.state.replace(stream=start), Progress(held.place.epoch + 1)
    return Held(state, best, place, standings), list(records)


def finish(runs: Sequence[Run], scorer: Scorer, held: Held) -> list[dict[str, Any]]:
    """Each replica's final table; writes it, and its best checkpoint."""
    splits = ("validation", "test")
    logits = {split: scorer.of_split(held.best, split) for split in splits}
    results = []
    for i, (run, standing) in enumerate(zip(runs, held.standings, strict=True)):
        result: dict[str, Any] = {
            "step": standing.best_step or None,
            "epochs": standing.progress.epoch,
        }
        if standing.diverged is not None:
            result["diverged"] = standing.diverged
        if standing.best_step:
            best = jax.tree.map(lambda leaf, i=i: leaf[i], held.best)
            keep(run, best, standing)
            result |= {s: scorer.measured(logits[s][:, i], s) for s in splits}
        run.write_result(result)
        results.append(result)
    return results


def keep(run: Run, variables: PyTree, standing: Standing) -> None:
    """A replica's best variables as the checkpoint of its run."""
    with Checkpoints(run.checkpoints) as checkpoints:
        if checkpoints.latest is None:  # it is there where a stop came just after
            record = loop.record_of(standing.progress, run)
            score = standing.progress.best
            checkpoints.save_variables(standing.best_step, variables, record, score)


def loader_of(experiments: Sequence[Experiment], data: Prepared) -> Loader | Loaders:
    """All replicas' batches: one loader where they are the same for all."""
    orders = {(e.train.seed, e.train.temperature) for e in experiments}
    if len(orders) == 1:
        return loop.loader_of(experiments[0], data)
    return Loaders([loop.loader_of(e, data) for e in experiments])
