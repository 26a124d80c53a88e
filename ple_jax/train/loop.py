"""The training loop: batches in, epochs measured, checkpoints and results out.

It trains a group of trials: a lone run is a group of one.
"""

import dataclasses
import pathlib
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import jax
import numpy as np

from ple_jax.config.experiment import Experiment
from ple_jax.data.store import Prepared
from ple_jax.metrics import streaming
from ple_jax.metrics.spread import spread, spread_by_task
from ple_jax.parallel import processes, told
from ple_jax.runs.directory import Run
from ple_jax.runs.followers import Followers, following
from ple_jax.runs.lock import locked
from ple_jax.show import console, tables
from ple_jax.train import divergence, evaluate, watchdog
from ple_jax.train.checkpoint import Checkpoints
from ple_jax.train.feed import Feed, ahead, next_save
from ple_jax.train.finish import finish
from ple_jax.train.glance import Glance
from ple_jax.train.group import Ends, Group, never
from ple_jax.train.progress import Held, Place
from ple_jax.train.setup import Setup
from ple_jax.train.state import TrainState, variables_of
from ple_jax.train.stopping import RUN_AHEAD, Asked, stop_if, stop_signals
from ple_jax.train.stopping import Stopped as Stopped  # what `fit` raises
from ple_jax.train.trainer import Trainer

Record = dict[str, Any]  # of the journal


def fit(run: Run, resume: bool = False, strict: bool = False) -> dict[str, Any]:
    """Trains a lone run to its end; returns and writes its final table.

    The best checkpoint by validation is measured on validation and, once, on test if
    there is one.

    Args:
        run: What to train.
        resume: Whether to continue from the newest checkpoint that is whole.
        strict: Whether to refuse if that is not the newest of all.

    Raises:
        Stopped: A signal came; the run can be resumed where it stopped.
        FloatingPointError: A parameter is no longer a finite number.
        ValueError: It asks for several seeds, which `study.fit` trains, or another
            process is training it, or what it resumes from is damaged, or a checkpoint
            cannot be written.
    """
    if run.experiment.train.seeds > 1:
        raise ValueError("train.seeds is above 1: study.fit trains several trials.")
    setup = Setup([run.experiment], run.data, trains=True)
    group = Group([run], run.checkpoints, setup)
    with locked_by_first(run.directory), following(group.runs) as followers:
        held = run_epochs(group, resume, strict, followers)
        (standing,) = held.standings
        if standing.diverged is not None:
            raise divergence.error(standing.diverged, f"{standing.fault} is not finite")
        return finish(group, held, followers)[0]


def fit_group(
    runs: Sequence[Run],
    folder: pathlib.Path,
    resume: bool = False,
    strict: bool = False,
    ends: Ends = never,
) -> list[dict[str, Any]]:
    """Trains trials that differ in seeds and traced knobs; returns their final tables.

    Each is measured at its own best epoch. One that diverges or whose patience is spent
    ends there, whatever the others do; its journal has no more epochs. A single trial
    trains by the program of a lone run, and equals it to the bit.

    Args:
        runs: The run directory of each trial, with one data set.
        folder: Where the checkpoints of several trials lie while they train.
        resume: Whether to continue from there.
        strict: Whether to refuse if the newest checkpoint is damaged.
        ends: Asked after each epoch of a trial whether that was its last.

    Raises:
        Stopped: A signal came; the trials can be resumed where they stopped.
        ValueError: As of `fit`.
    """
    # Older studies vmapped single trials too: such a folder is theirs.
    several = len(runs) > 1 or processes.from_first(folder.exists())
    experiments, data = [run.experiment for run in runs], runs[0].data
    setup = Setup(experiments, data, several, trains=True)
    place = folder if several else runs[0].checkpoints
    group = Group(runs, place, setup, ends)
    with locked_by_first(runs[0].directory), following(runs) as followers:
        held = run_epochs(group, resume, strict, followers)
        results = finish(group, held, followers)
        if several and processes.is_first():
            shutil.rmtree(folder)
    return results


@contextmanager
def locked_by_first(directory: pathlib.Path) -> Iterator[None]:
    """Keeps a run directory for one training, which may have several processes."""
    with locked(directory) if processes.is_first() else nullcontext():
        yield


def check(experiment: Experiment, data: Prepared) -> None:
    """Traces the beginning of an experiment, to find mistakes before there is a run.

    Raises:
        ValueError: `Setup.check` finds a mistake, or the model refuses its options.
    """
    setup = Setup([experiment], data)
    setup.check()
    setup.trainer.shapes()


def run_epochs(group: Group, resume: bool, strict: bool, followers: Followers) -> Held:
    """Trains every trial of a group until it is finished; checkpoints each epoch.

    It ends without a checkpoint when all trials have diverged.
    """
    train = group.setup.train
    group.setup.check()
    # Signals are collected until the last write in the background has ended.
    with (
        stop_signals() as asked,
        Checkpoints(group.folder, rows=group.setup.rows) as checkpoints,
    ):
        held, journals = group.start(checkpoints, resume, strict)
        save = partial(group.save, checkpoints, journals)
        while not all(one.is_finished(train) for one in held.standings):
            held, pace = epoch(group, held, save, asked)
            held, records = measure(group, held, pace)
            checkpoints.wait()  # so that a journal of two epochs had a checkpoint
            for i, record in enumerate(records):
                if record and processes.is_first():
                    journals[i].write(record)
                    followers[i].write(record)
            if all(one.diverged is not None for one in held.standings):
                break
            say_epoch(list(filter(None, records)), train.epochs)
            save(held, [bool(record and record["improved"]) for record in records])
            stop_if(asked)
    stop_if(asked)
    return held


def epoch(
    group: Group, held: Held, save: Callable[[Held], None], asked: Asked
) -> tuple[Held, Record]:
    """Trains to the end of an epoch; saves within it if that is due or a signal came.

    Returns:
        What is held at its end, where nothing is saved yet, and for the journal each
        trial's speed in examples a second, and what devices exchanged.
    """
    trainer, feed = group.setup.trainer, group.setup.feed
    watch, first = console.Stopwatch(), held.place.step_in_epoch
    counts = list[jax.Array]()
    taken = steps(trainer, feed, held.state, held.place, counts)
    for state, place in watchdog.watched(taken):
        due = place.step_in_epoch == next_save(held.place.step_in_epoch, feed.train)
        held = held._replace(state=state, place=place)
        told.tell_step(place.epoch * feed.loader.steps_per_epoch + place.step_in_epoch)
        asked.agree(feed.mesh)
        if place.step_in_epoch < feed.loader.steps_per_epoch:
            if asked or due:
                save(held)
            stop_if(asked)
    trained = (held.place.step_in_epoch - first) * feed.train.batch_size
    pace: Record = {"examples_per_second": round(trained / watch.seconds)}
    if group.setup.exchanged:
        pace["exchange"] = group.setup.exchange_record(counts)
    return held, pace


def steps(
    trainer: Trainer,
    feed: Feed,
    state: TrainState,
    place: Place,
    counts: list[jax.Array] | None = None,
) -> Iterator[tuple[TrainState, Place]]:
    """Trains to the end of an epoch; yields after each dispatch, the last one finished.

    The host runs ahead of the device by `RUN_AHEAD` dispatches, and waits for no other.
    `counts` gets the second result of each dispatch.
    """
    waiting: deque[jax.Array] = deque()
    of_epoch = feed.loader.steps_per_epoch
    chunks = feed.chunks(place.epoch, place.step_in_epoch)
    left = of_epoch - place.step_in_epoch
    glance = Glance(feed.train.batch_size)
    with console.bar(f"epoch {place.epoch + 1}", left) as advance:
        for batches, count in ahead(chunks):
            state, done = trainer.steps(state, batches, count)
            waiting.append(done)
            if counts is not None:
                counts.append(done)
            if len(waiting) > RUN_AHEAD:
                waiting.popleft().block_until_ready()
            advance(count, glance.text(state.stream, count))
            place = Place(place.epoch, place.step_in_epoch + count)
            if place.step_in_epoch == of_epoch:
                done.block_until_ready()
            yield state, place


def measure(group: Group, held: Held, pace: Record) -> tuple[Held, list[Record | None]]:
    """Measures every trial at the end of an epoch.

    Returns:
        The start of the next epoch, and the records of this one: None for a trial that
        is finished or diverged.
    """
    setup = group.setup
    logits, wrong = group.watched(variables_of(held.state))
    faults = divergence.not_finite(held.state.trained, setup.vmapped)
    scored = processes.from_first(np.isfinite(logits).all(axis=(0, 2)).tolist())
    standings, records = list(held.standings), list[Record | None]()
    for i, (run, standing) in enumerate(zip(group.runs, held.standings, strict=True)):
        record, fault = None, faults[i]
        if not fault and not scored[i]:
            fault = "a validation score"
        if standing.is_finished(setup.train):
            pass
        elif fault:
            standing = dataclasses.replace(standing, diverged=held.step, fault=fault)
            console.say(f"{run.directory.name} diverged before step {held.step}")
        else:
            record = record_of_epoch(group, held, i, logits[:, i], pace)
            standing = standing.after_epoch(record["score"], held.step)
            record["improved"] = standing.epochs_since_best == 0
            if any(wrong[i].values()):
                record["gates"] = wrong[i]
                say_gates(run.directory.name, wrong[i])
            if group.ends(i, record):
                standing = dataclasses.replace(standing, ended=True)
        standings[i] = standing
        records.append(record)
    empty = streaming.emptied(held.state.stream)
    state, place = held.state.replace(stream=empty), Place(held.place.epoch + 1)
    return Held(state, place, tuple(standings)), records


def record_of_epoch(
    group: Group, held: Held, i: int, logits: np.ndarray, pace: Record
) -> Record:
    """Trial `i`'s record in the journal: the epoch in training and on validation.

    The first process measures, and the others are given the score alone.
    """
    if not processes.is_first():
        return {"score": processes.from_first()}
    layout, metric = group.setup.data.layout, group.setup.metric
    stream = group.stream(held.state, i)
    training = streaming.compute(stream, layout.tasks, layout.domains)
    validation = group.setup.scorer.measured(logits, "validation")
    value = evaluate.chosen_metric(validation, metric)
    record = {
        "step": held.step,
        "epoch": held.place.epoch,
        **pace,
        "loss": streaming.total_loss(training["tasks"], layout.deviations),
        "metric": value,
        "score": evaluate.score_of(value, metric),
        "train": training,
        "validation": validation,
    }
    processes.from_first(record["score"])
    return evaluate.finite(record)


def say_gates(name: str, wrong: dict[str, list[str]]) -> None:
    """Warns of gates that take one expert alone: once for each of them."""
    for gate in wrong["alone"]:
        console.say_once(f"warning: {name}: a gate takes one expert alone ({gate})")


def say_epoch(records: list[Record], epochs: int) -> None:
    """Prints an epoch as one line: means over the trials that took part, if any did."""
    if records and processes.is_first():
        line = tables.epoch_line(
            f"{records[0]['epoch'] + 1:>3}/{epochs}",
            spread([r["loss"] for r in records])["mean"],
            spread_by_task([r["validation"]["tasks"] for r in records]),
            sum(r["examples_per_second"] for r in records),
            [r["improved"] for r in records],
        )
        console.say(line)
