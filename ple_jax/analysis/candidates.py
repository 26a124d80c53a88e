"""Trains models side by side on one data set: what each one scores on validation."""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ple_jax import config
from ple_jax.analysis import trees
from ple_jax.analysis.plan import SEEDS, Cost, Plan
from ple_jax.config import sweep
from ple_jax.data.store import Prepared
from ple_jax.metrics.intervals import Influence
from ple_jax.metrics.paired import HEADLINES
from ple_jax.runs.directory import Run
from ple_jax.runs.journal import read_records
from ple_jax.show import console
from ple_jax.studies import paired, sweeps

ALONE = "single_task"
KINDS = (ALONE, "shared_bottom", "mmoe", "ple")
OF_DOMAINS = ("star",)  # where there are several
PILOT_EPOCHS = 2  # the first one compiles

Tree = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Compared:
    """What a model scores.

    Attributes:
        kind: The model, or `trees`.
        scores: Task -> headline on validation for each seed.
        epochs: The best epoch of each seed; () for trees.
        trained: How many epochs each seed was trained; () for trees.
        seconds: What it took.
        test: Task -> headline on test for each seed; {} without test.
        moved: Task -> the influences on the scores of each seed.
    """

    kind: str
    scores: dict[str, list[float | None]]
    epochs: tuple[int, ...]
    trained: tuple[int, ...]
    seconds: float
    test: dict[str, list[float | None]]
    moved: dict[str, list[Influence | None]] = dataclasses.field(default_factory=dict)


def kinds_for(data: Prepared) -> tuple[str, ...]:
    """The models to compare on a data set."""
    return KINDS + (OF_DOMAINS if len(data.layout.domains) > 1 else ())


def tree_of(tree: Tree, kind: str, seeds: int, epochs: int | None) -> dict[str, Any]:
    """The experiment with another model and these seeds.

    A model that trains tasks alone has embeddings for each of them, too.
    """
    new, _ = config.with_kinds(tree, {"model": kind})
    train = {**new.get("train", {}), "seeds": seeds}
    if epochs is not None:
        train["epochs"] = epochs
    inputs = dict(new.get("inputs", {}))
    if kind == ALONE:
        inputs["per_task"] = True
    return {**new, "train": train, "inputs": inputs}


def trained(
    folder: pathlib.Path, data: Prepared, tree: Tree, kind: str, plan: Plan
) -> Compared:
    """Trains the seeds of a model as one sweep in a folder, and reads its scores."""
    watch = console.Stopwatch()
    whole = tree_of(tree, kind, plan.seeds, plan.epochs)
    made = sweeps.create(folder, sweep.of(_of_kinds(whole), {}), data)
    results = list(sweeps.fit(made)["trials"].values())
    done = [result for result in results if "validation" in result]
    return Compared(
        kind,
        headlines([result["validation"] for result in done], data),
        tuple(_best_epoch(run) for run in made.runs),
        tuple(result["epochs"] for result in results),
        watch.seconds,
        headlines([result["test"] for result in done if "test" in result], data),
        moved([r for r, of in zip(made.runs, results, strict=True) if of in done]),
    )


def moved(runs: Sequence[Run]) -> dict[str, list[Influence | None]]:
    """Task -> the influences on what each seed scores on validation."""
    each = [of["tasks"] for of in paired.influences(runs, "validation")] if runs else []
    return {task: [of[task] for of in each] for of in each[:1] for task in of}


def _of_kinds(tree: Tree) -> sweep.OfKinds:
    return lambda kinds: config.from_dict(config.with_kinds(tree, kinds)[0])


def _best_epoch(run: Any) -> int:
    records = [r for r in read_records(run.metrics) if r.get("improved")]
    return records[-1]["epoch"] + 1 if records else 0


def headlines(
    measured: Sequence[Mapping[str, Any]], data: Prepared
) -> dict[str, list[float | None]]:
    """Task -> its headline in each of several reports."""
    return {
        t.name: [each["tasks"][t.name][HEADLINES[t.loss]] for each in measured]
        for t in data.layout.tasks
        if measured
    }


def pilot(folder: pathlib.Path, data: Prepared, tree: Tree, kind: str) -> Cost:
    """Trains a model for two epochs, and says what it cost; leaves nothing behind."""
    plan, rows = Plan(SEEDS, PILOT_EPOCHS), data.facts["splits"]["train"]["rows"]
    watch = console.Stopwatch()
    whole = tree_of(tree, kind, plan.seeds, plan.epochs)
    made = sweeps.create(folder, sweep.of(_of_kinds(whole), {}), data)
    sweeps.fit(made)
    last = read_records(made.runs[0].metrics)[-1]
    epoch = rows / max(last["examples_per_second"], 1)
    shutil.rmtree(folder)
    return Cost(max(watch.seconds - PILOT_EPOCHS * epoch, 0.0), epoch)


def boosted(data: Prepared) -> Compared:
    """The scores of trees, which have no seeds."""
    watch, fitted = console.Stopwatch(), trees.fit(data)
    scores = {task: [score] for task, (score, _) in fitted.items()}
    moved = {task: [of] for task, (_, of) in fitted.items()}
    return Compared(trees.KIND, scores, (), (), watch.seconds, {}, moved)


def gains(
    better: Compared, other: Compared, data: Prepared
) -> dict[str, dict[str, Any]]:
    """Task -> how much better one model is than another on validation: see `gain`."""
    a, b = (paired.Scores(one.scores, one.moved) for one in (better, other))
    return paired.gains(a, b, data.layout.tasks)
