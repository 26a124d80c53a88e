"""A search at work: batches of trials trained, and what they found."""

import dataclasses
import pathlib
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from jax.errors import JaxRuntimeError

from ple_jax import config
from ple_jax.config import tuning
from ple_jax.config.experiment import Experiment
from ple_jax.data.store import Prepared
from ple_jax.runs import defaults
from ple_jax.runs.directory import (
    CHECKPOINTS,
    DATA,
    TRIALS,
    Run,
    fill,
    new_run_directory,
    read_result,
    recorded_tree,
)
from ple_jax.show import console
from ple_jax.studies.halves import ESTIMATE, Halves
from ple_jax.studies.search import Pruner, Search
from ple_jax.train import evaluate, loop
from ple_jax.train.grouping import together

TRIED = "tune.db"


@dataclasses.dataclass(frozen=True)
class Budget:
    """When a search ends.

    Attributes:
        trials: How many trials it has at most, those of before counted too.
        deadline: When it ends at the latest, by `time.monotonic`.
    """

    trials: float = float("inf")
    deadline: float = float("inf")

    @property
    def is_late(self) -> bool:
        """Whether time is up."""
        return time.monotonic() >= self.deadline


@dataclasses.dataclass(frozen=True)
class Tuner:
    """A search at work in its directory."""

    directory: pathlib.Path
    budget: Budget
    pruner: Pruner

    @cached_property
    def recorded(self) -> tuple[Experiment, dict[str, Any]]:
        """The experiment and the ranges that the directory holds.

        Raises:
            ValueError: It is not that of a search.
        """
        tree = recorded_tree(self.directory)
        if tuning.TUNE not in tree:
            raise ValueError(f"{self.directory} is no search that can go on.")
        tree, asked = tuning.taken(tree)
        return config.from_dict(tree), asked

    @property
    def base(self) -> Experiment:
        """The experiment to start from."""
        return self.recorded[0]

    @cached_property
    def data(self) -> Halves:
        """What trials see of the data set."""
        return Halves.of(Prepared.open(self.directory / DATA))

    @cached_property
    def search(self) -> Search:
        """What asks for points."""
        ranges = tuning.space_of(*self.recorded)
        file, seed = self.directory / TRIED, self.base.train.seed
        return Search(file, ranges, seed, self.pruner)

    @property
    def metric(self) -> str:
        """The metric that chooses."""
        train = defaults.recorded(self.base, self.data).train
        return evaluate.resolve_metric(train.metric, self.data.layout)

    def place(self, number: int) -> pathlib.Path:
        """The run directory of a trial."""
        return self.directory / TRIALS / f"{number:05}"

    def clear(self) -> None:
        """Removes what a dead process left: trials under way, and their state."""
        shutil.rmtree(self.directory / CHECKPOINTS, ignore_errors=True)
        ended = {self.place(trial.number) for trial in self.search.ended}
        for place in set((self.directory / TRIALS).iterdir()) - ended:
            shutil.rmtree(place)

    def try_batch(self, count: int) -> None:
        """Asks for some trials, and trains those together that one program can."""
        trials, runs = {}, []
        for trial in self.search.ask(count):
            try:
                run = self.new_run(trial)
            except ValueError as error:
                console.say(f"trial {trial.number} cannot be trained: {error}")
                self.search.tell(trial, [], pruned=True)
            else:
                trials[run.directory] = trial
                runs.append(run)
        for group in together(runs) if runs else ():
            self.train(group, [trials[run.directory] for run in group])
        best = self.search.best
        for kept in self.directory.glob(f"{TRIALS}/*/{CHECKPOINTS}"):
            if best is None or kept.parent != self.place(best.number):
                shutil.rmtree(kept)

    def new_run(self, trial: Any) -> Run:
        """Makes the run directory of a trial.

        Raises:
            ValueError: This point cannot be trained.
        """
        point = tuning.at(self.base, self.search.point(trial.params))
        alone = config.with_values(point, {"train.seeds": 1})
        experiment = defaults.recorded(alone, self.data)
        loop.check(experiment, self.data)
        place = self.place(trial.number)
        with new_run_directory(place) as partial:
            fill(partial, config.to_toml(experiment), self.data)
        data = dataclasses.replace(self.data, directory=place / DATA)
        return Run(place, experiment, data)

    def train(self, runs: Sequence[Run], trials: Sequence[Any]) -> None:
        """Trains trials as one program; each may end early."""
        scores: list[list[float]] = [[] for _ in runs]
        pruned = [False] * len(runs)

        def ends(i: int, record: Mapping[str, Any]) -> bool:
            scores[i].append(record["score"])
            trials[i].report(record["score"], record["epoch"])
            is_last = record["epoch"] + 1 == runs[i].experiment.train.epochs
            pruned[i] = not is_last and bool(trials[i].should_prune())
            return pruned[i] or self.budget.is_late

        try:
            loop.fit_group(runs, self.directory / CHECKPOINTS, ends=ends)
        except JaxRuntimeError as error:  # mostly, memory is too small for this point
            console.say(f"trial {trials[0].number} failed: {error}")
            scores = [[] for _ in runs]
            shutil.rmtree(self.directory / CHECKPOINTS, ignore_errors=True)
        for i, trial in enumerate(trials):
            self.search.tell(trial, scores[i], pruned[i])
            self.say(trial, scores[i], pruned[i])

    def say(self, trial: Any, scores: Sequence[float], pruned: bool) -> None:
        """Says how a trial ended."""
        value = f"{abs(max(scores)):.4f}" if scores else "diverged"
        early = f", ended after {len(scores)} epochs" * pruned
        console.say(f"trial {trial.number}: {self.metric} {value}{early}")

    def found(self) -> dict[str, Any]:
        """The result of the search, ready for JSON.

        metric    that of `train.metric`
        trials    number -> its values, its best epoch's metric, epochs, whether pruned
        start     the first trial: the experiment as it stands
        best      the best trial: its metric on both halves, and a table of the second

        Raises:
            ValueError: No trial came to an end.
        """
        if self.search.best is None:
            raise ValueError(
                f"No trial of {self.directory} came to an end that can be compared: "
                "they diverged, were pruned or cannot be trained. Give it more time, "
                "or other ranges."
            )
        first, best = self.search.ended[0], self.search.best
        return {
            "metric": self.metric,
            "trials": {str(t.number): self._row(t) for t in self.search.ranked},
            "start": self._measured(first.number),
            "best": self._measured(best.number) | self._table(best.number),
        }

    def _row(self, trial: Any) -> dict[str, Any]:
        scores = list(trial.intermediate_values.values())
        return {
            "values": self.search.point(trial.params),
            "metric": abs(max(scores)) if scores else None,
            "epochs": len(scores),
            "pruned": trial.value is None or trial.state.name == "PRUNED",
        }

    def _measured(self, number: int) -> dict[str, Any]:
        """A trial's metric on both halves; None where it has none."""
        result = read_result(self.place(number)) or {}
        found: dict[str, Any] = {"trial": number, "validation": None, ESTIMATE: None}
        for half in result.keys() & found.keys():
            with suppress(ValueError):  # one class only
                found[half] = evaluate.chosen_metric(result[half], self.metric)
        return found

    def _table(self, number: int) -> dict[str, Any]:
        result = read_result(self.place(number)) or {}
        return {
            "tasks": result[ESTIMATE]["tasks"],
            "intervals": result["intervals"][ESTIMATE],
        }
