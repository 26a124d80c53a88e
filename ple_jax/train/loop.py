"""The training loop: batches in, epochs measured, checkpoints and a result out."""

import dataclasses
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from ple_jax.config.experiment import Experiment, Train
from ple_jax.data.loader import Loader
from ple_jax.data.store import Prepared
from ple_jax.metrics import streaming
from ple_jax.parallel.mesh import check_batch_size, make_mesh, state_shardings
from ple_jax.runs.directory import Run
from ple_jax.runs.journal import Journal
from ple_jax.show import console, tables
from ple_jax.train import evaluate
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.evaluate import Scorer
from ple_jax.train.feed import Feed, ahead, feed_of
from ple_jax.train.state import TrainState, variables_of
from ple_jax.train.step import Trainer, parts_of, trainer_of
from ple_jax.types import PyTree

RUN_AHEAD = 2  # dispatches that may wait for the device


class Stopped(Exception):
    """A signal asked the run to stop; its last checkpoint holds the exact place."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a run stands: its place in the data, and its early-stopping record."""

    epoch: int = 0
    step_in_epoch: int = 0
    best: float | None = None  # the score of the best epoch; higher is better
    epochs_since_best: int = 0

    def is_finished(self, train: Train) -> bool:
        """All epochs are done, or patience is spent."""
        impatient = train.patience and self.epochs_since_best >= train.patience
        return self.epoch >= train.epochs or bool(impatient)

    def after_epoch(self, score: float) -> "Progress":
        """The start of the next epoch, knowing this one's score."""
        improved = self.best is None or score > self.best
        return Progress(
            epoch=self.epoch + 1,
            best=score if improved else self.best,
            epochs_since_best=0 if improved else self.epochs_since_best + 1,
        )


def fit(run: Run, resume: bool = False) -> dict[str, Any]:
    """Trains a run to its end; returns, and writes, its final table.

    The best checkpoint by validation is measured on validation and, once, on test.

    Raises:
        Stopped: A signal came; the run can be resumed where it stopped.
        FloatingPointError: The loss is not a finite number.
        ValueError: It asks for several replicas, which `study.fit` trains.
    """
    if run.experiment.train.replicas > 1:
        raise ValueError("train.replicas is above 1: study.fit trains several runs.")
    train, mesh = run.experiment.train, checked_mesh(run.experiment, run.data)
    loader = loader_of(run.experiment, run.data)
    trainer = trainer_of(run.experiment, run.data.layout, loader.steps_per_epoch)
    feed = feed_of(loader, trainer, train, mesh)
    scorer = Scorer(trainer.score, mesh, run.data, train.eval_batch_size)

    with Checkpoints(run.checkpoints) as checkpoints, stop_signals() as asked:
        state, progress = start(trainer, mesh, checkpoints, run, resume)
        journal = Journal(run.metrics, int(state.step))
        save = lambda state, at: checkpoints.save(state, record_of(at, run))
        while not progress.is_finished(train):
            state, progress, speed = epoch(trainer, feed, state, progress, save, asked)
            check_finite(state.trained, int(state.step))
            validation = scorer.report(variables_of(state), "validation")
            record = record_of_epoch(
                run, int(state.step), progress.epoch, speed, state.stream, validation
            )
            progress = progress.after_epoch(record["score"])
            record["improved"] = improved = progress.epochs_since_best == 0
            journal.write(record)
            console.say(tables.epoch_line(record, train.epochs))
            state = state.replace(stream=jax.tree.map(jnp.zeros_like, state.stream))
            score = record["score"] if improved else None
            checkpoints.save(state, record_of(progress, run), score)
            stop_if(asked)
        best = checkpoints.restore_variables(variables_of(state))
        result: dict[str, Any] = {"step": checkpoints.best, "epochs": progress.epoch}
    for split in ("validation", "test"):
        result[split] = scorer.report(best, split)
    run.write_result(result)
    return result


def check(experiment: Experiment, data: Prepared) -> None:
    """Traces an experiment's beginning: what cannot be trained is known before a run.

    Raises:
        ValueError: The model refuses its options, the loader a batch of this size, or
            `checked_mesh` the devices.
    """
    checked_mesh(experiment, data)
    steps = loader_of(experiment, data).steps_per_epoch
    jax.eval_shape(parts_of(experiment, data.layout, steps).init)


def checked_mesh(experiment: Experiment, data: Prepared) -> jax.sharding.Mesh:
    """The devices of an experiment.

    Raises:
        ValueError: A batch does not split evenly over them, or there is no such metric.
    """
    train = experiment.train
    mesh = make_mesh(train.devices)
    check_batch_size(mesh, train.batch_size)
    evaluate.check_metric(train.metric, data.layout)
    return mesh


def loader_of(experiment: Experiment, data: Prepared) -> Loader:
    """The batches of the train split."""
    train = experiment.train
    return Loader(
        data.split("train"),
        train.batch_size,
        train.seed,
        sampling=train.sampling,
        temperature=train.temperature,
    )


def start(
    trainer: Trainer,
    mesh: jax.sharding.Mesh,
    checkpoints: Checkpoints,
    run: Run,
    resume: bool,
) -> tuple[TrainState, Progress]:
    """The initial state, or that of the newest checkpoint."""
    places = state_shardings(mesh, jax.eval_shape(trainer.init))
    state = jax.device_put(trainer.init(), places)
    if not resume or checkpoints.latest is None:
        return state, Progress()
    state, record = checkpoints.restore(state)
    check_identity(run, identity(run), record)
    return state, Progress(**record["progress"])


def check_identity(run: Run, asked: dict[str, Any], record: dict[str, Any]) -> None:
    """Raises a ValueError where a checkpoint is of other data."""
    record = asked | record  # older checkpoints do not tell all
    if changed := [k for k in asked if record[k] != asked[k]]:
        listing = ", ".join(f"{k}: {record[k]!r} -> {asked[k]!r}" for k in changed)
        raise ValueError(
            f"{run.directory} cannot be resumed on other data (recorded -> found): "
            f"{listing}."
        )


def identity(run: Run) -> dict[str, Any]:
    """What decides the order of examples; a resumed run must find it unchanged."""
    train = run.experiment.train
    return {
        "data set": run.data.fingerprint,
        "batch size": train.batch_size,
        "seed": train.seed,
        "sampling": train.sampling,
        "temperature": train.temperature,
    }


def record_of(progress: Progress, run: Run) -> dict[str, Any]:
    """What a checkpoint says of the data, ready for JSON."""
    return {**identity(run), "progress": dataclasses.asdict(progress)}


def epoch(
    trainer: Trainer,
    feed: Feed,
    state: TrainState,
    progress: Progress,
    save: Callable[[TrainState, Progress], None],
    asked: list[int],
) -> tuple[TrainState, Progress, float]:
    """The rest of an epoch; saves within it, where that is due or a signal came.

    Returns:
        The state and the place at its end, where nothing is saved yet, and the speed in
        examples a second.
    """
    watch, first = console.Stopwatch(), progress.step_in_epoch
    dispatched = steps(trainer, feed, state, progress)
    for state, progress in dispatched:
        if progress.step_in_epoch < feed.loader.steps_per_epoch:
            if asked or is_due(progress, feed.train):
                save(state, progress)
            stop_if(asked)
    trained = (progress.step_in_epoch - first) * feed.train.batch_size
    return state, progress, trained / watch.seconds


def steps(
    trainer: Trainer, feed: Feed, state: TrainState, progress: Progress
) -> Iterator[tuple[TrainState, Progress]]:
    """The rest of an epoch; yields after each dispatch, with the last one finished.

    Nothing waits for the device but for the dispatch before the one before, so that
    the host runs ahead by a bounded amount.
    """
    waiting: deque[jax.Array] = deque()
    of_epoch = feed.loader.steps_per_epoch
    chunks = feed.chunks(progress.epoch, progress.step_in_epoch)
    left = of_epoch - progress.step_in_epoch
    with console.bar(f"epoch {progress.epoch + 1}", left) as advance:
        for batches, count in ahead(chunks):
            state, done = trainer.steps(state, batches, count)
            waiting.append(done)
            if len(waiting) > RUN_AHEAD:
                waiting.popleft().block_until_ready()
            advance(count)
            after = progress.step_in_epoch + count
            progress = dataclasses.replace(progress, step_in_epoch=after)
            if after == of_epoch:
                done.block_until_ready()
            yield state, progress


def is_due(progress: Progress, train: Train) -> bool:
    """Whether to save here, within an epoch."""
    every = train.checkpoint_every
    return bool(every) and progress.step_in_epoch % every == 0


def stop_if(asked: list[int]) -> None:
    """Raises `Stopped` where a signal came; the place is saved by now."""
    if asked:
        raise Stopped(signal.Signals(asked[0]).name)


def record_of_epoch(
    run: Run,
    step: int,
    epoch: int,
    speed: float,
    stream: streaming.Stream,
    validation: dict[str, Any],
) -> dict[str, Any]:
    """One record of the journal: the epoch in training, and on validation."""
    layout, metric = run.data.layout, run.experiment.train.metric
    training = streaming.compute(stream, layout.tasks, layout.domains)
    value = evaluate.chosen_metric(validation, metric)
    return {
        "step": step,
        "epoch": epoch,
        "examples_per_second": round(speed),
        "loss": sum(streaming.loss_of(t) or 0.0 for t in training["tasks"].values()),
        "metric": value,
        "score": evaluate.score_of(value, metric),
        "train": training,
        "validation": validation,
    }


def check_finite(trained: PyTree, step: int) -> None:
    """Raises a FloatingPointError where a parameter is not a finite number."""
    bad = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree.leaves_with_path(trained)
        if not bool(jnp.isfinite(leaf).all())
    ]
    if bad:
        raise FloatingPointError(
            f"Training diverged before step {step}: {bad[0]} is not finite. Lower "
            "train.learning_rate, or set train.clip_norm."
        )


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying; a second one dies as usual."""
    asked: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {s: signal.getsignal(s) for s in signals}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number, frame):
        asked.append(number)
        restore()

    try:
        for number in signals:
            signal.signal(number, note)
    except ValueError:  # not in the main thread: signals are its business
        before = {}
    try:
        yield asked
    finally:
        restore()
