"""A run directory, put to use: predicted with, measured and shown."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from ple_jax.config import sweep
from ple_jax.data.frames import same_kind, table_of
from ple_jax.data.store import Prepared
from ple_jax.runs import directory as runs
from ple_jax.runs.journal import read_records
from ple_jax.serve.columns import Beside
from ple_jax.serve.ensemble import load_ensemble
from ple_jax.serve.frames import predict_table
from ple_jax.serve.measure import measure_table
from ple_jax.show import results
from ple_jax.show.measured import View
from ple_jax.show.notebook import Tables
from ple_jax.studies import sweeps
from ple_jax.studies.best import best_members, validation_score
from ple_jax.studies.tidy import tidy
from ple_jax.train import evaluate, loop


def open(run_dir: str | os.PathLike) -> "TrainedRun":
    """Opens the directory of a run or of a sweep, whoever trained it.

    Raises:
        ValueError: It is no run directory, or is damaged.
    """
    place = pathlib.Path(run_dir)
    if not sweep.is_sweep(runs.recorded_tree(place)):
        return TrainedRun(place)
    names = [trial.name for trial in sweeps.recorded(place).trials]
    folder = runs.trials_folder(place)
    return TrainedRun(place, {name: TrainedRun(folder / name) for name in names})


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrainedRun:
    """A run directory, put to use.

    A sweep, or a run of several seeds, has trials; it predicts and evaluates by the
    trial that was best on validation, or by the mean of several as its `ensemble`. Its
    table shows all of them.

    Attributes:
        directory: Where the run is.
        trials: Name -> trial, each a run of its own; empty for a lone run.
        members: The runs whose mean logits predict; none for the best one alone.
    """

    directory: pathlib.Path
    trials: Mapping[str, "TrainedRun"] = dataclasses.field(default_factory=dict)
    members: Sequence[runs.Run] = ()

    @cached_property
    def run(self) -> runs.Run:
        """The run that predicts: its experiment, data and files."""
        return self.members[0] if self.members else runs.open_run(self.best.directory)

    @cached_property
    def ensemble(self) -> "TrainedRun":
        """The same, but it predicts and evaluates by the mean logits of its trials.

        Of a sweep, these are the trials of the point that is best on validation.

        Raises:
            ValueError: It is one run, or no trial is finished.
        """
        members = best_members(self.directory)
        return dataclasses.replace(self, members=members)

    @property
    def data(self) -> Prepared:
        """The prepared data set; `fit` takes it in place of a frame."""
        return self.run.data

    @cached_property
    def best(self) -> "TrainedRun":
        """The trial that was best on validation; a lone run itself.

        Raises:
            ValueError: No trial is finished.
        """
        if not self.trials:
            return self
        scores = {name: trial.score for name, trial in self.trials.items()}
        done = {name: score for name, score in scores.items() if score is not None}
        if not done:
            raise ValueError(f"{self.directory} has no finished trial: resume it.")
        return self.trials[max(done, key=done.__getitem__)]

    @property
    def score(self) -> float | None:
        """The metric that chose the best epoch, higher is better; None if unfinished.

        It is that of `train.metric` on validation, or its negative for an error.
        """
        return validation_score(self.best.run)

    @property
    def result(self) -> dict[str, Any]:
        """The final table: validation and test, or all trials and points of a sweep.

        Raises:
            ValueError: The run is not finished.
        """
        result = runs.read_result(self.directory)
        if result is None:
            raise ValueError(f"{self.directory} is not finished: resume it.")
        return result

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record an epoch: loss, speed, and metrics on train and validation."""
        return [r for r in read_records(self.run.metrics) if "epoch" in r]

    def metrics(self) -> Any:
        """Every number as an Arrow table, one a row; `.to_pandas()` makes a frame.

        The columns: see `studies.tidy`. Of trials that are not finished it has the
        epochs so far.
        """
        return tidy(self.directory)

    def resume(self) -> "TrainedRun":
        """Trains on to the end from where the run stopped, to the same bits.

        Raises:
            Stopped: A signal came; the run can be resumed again.
            FloatingPointError: The run, or every trial, diverged.
        """
        try:
            if self.trials:
                asked = sweeps.recorded(self.directory)
                sweeps.fit(sweeps.open_sweep(self.directory, asked), resume=True)
            else:
                loop.fit(self.run, resume=True)
        except loop.Stopped as stop:
            again = f"ple_jax.open({str(self.directory)!r}).resume()"
            raise loop.Stopped(f"stopped by {stop}; continue with {again}") from None
        return open(self.directory)

    @cached_property
    def _scorer(self) -> tuple[evaluate.Scorer, Any]:
        return load_ensemble(self.members or [self.run])

    def predict(
        self,
        data: Any,
        allow_unknown: bool = False,
        *,
        keep: Sequence[str] = (),
        domain: bool = False,
        joint: bool = False,
    ) -> Any:
        """Scores rows in memory, in their order; they need no labels.

        Args:
            data: Rows with the columns of the inputs, in any form that `fit` takes;
                other columns do not matter.
            allow_unknown: Score rows although train has no value of some field.
            keep: Columns of the data to copy in front of the scores. Those that the
                schema names as `keys` are copied anyway, where the data have them.
            domain: Adds the column `domain`: the one that each row was scored in.
            joint: Adds the joint probability of each task that is given another, such
                as `buy_and_click`.

        Returns:
            One float32 column a task: its probability, or the number itself where the
            label is one. A pandas frame gives a pandas frame with its index, a polars
            frame a polars frame, all else an Arrow table.

        Raises:
            ValueError: A row does not fit the schema, or all values of a field are
                unknown and `allow_unknown` is false.
        """
        table = table_of(data)
        beside = Beside(keep, domain, joint=joint)
        scored = predict_table(self.run, self._scorer, table, allow_unknown, beside)
        return same_kind(scored, data)

    def evaluate(
        self, data: Any = "test", allow_unknown: bool = False
    ) -> dict[str, Any]:
        """Measures a split, or labelled rows, as `ple-jax evaluate --json` does.

        Args:
            data: The name of a split. Or rows in memory, in any form that `fit` takes
                but files, with the columns of inputs, labels, users and weights.
            allow_unknown: Measure rows although train has no value of some field.

        Returns:
            `split` if it is one, `examples`, `tasks` (task -> metric -> value),
            `domains` (domain -> task -> metric -> value) and `intervals`; of a run that
            recalibrates also `before`, the calibration without that.
        """
        scorer, variables = self._scorer
        if isinstance(data, str):
            return {"split": data, **scorer.report(variables, data)}
        rows = table_of(data)
        return measure_table(self.run, self._scorer, rows, allow_unknown)

    def table(self, metric: str | None = None, by_domain: bool = False) -> Tables:
        """The final tables: text where text is shown, HTML in a notebook.

        Args:
            metric: The metric in front, and of domains, such as "log_loss".
            by_domain: Whether to show all domains, however many there are.

        Raises:
            ValueError: The run is not finished, or no task has the metric.
        """
        return Tables(results.of_result(self.result, View(metric, by_domain)))

    def __repr__(self) -> str:
        trials = f", {len(self.trials)} trials" if self.trials else ""
        return f"TrainedRun({str(self.directory)!r}{trials})"
