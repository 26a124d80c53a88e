"""The front door: from rows in memory, or in files, to a run that predicts.

run = ple_jax.fit(frame, schema="schema.toml", model="ple", seeds=3)
run.table()
run.predict(frame)
"""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypedDict, Unpack

from ple_jax import config
from ple_jax.checks import check_known
from ple_jax.config import sweep
from ple_jax.config.values import plain
from ple_jax.data.frames import same_kind, source_of, table_of
from ple_jax.data.prepare import prepare
from ple_jax.data.schema_file import read_schema, schema_from_tree
from ple_jax.data.store import Prepared
from ple_jax.datasets import table
from ple_jax.parallel import runtime
from ple_jax.runs import directory as runs
from ple_jax.runs.journal import read_records
from ple_jax.schema import Schema
from ple_jax.serve.columns import Beside
from ple_jax.serve.files import load_scorer
from ple_jax.serve.frames import predict_table
from ple_jax.show import console, tables
from ple_jax.show.notebook import Tables
from ple_jax.studies import study
from ple_jax.train import evaluate, loop


class Sections(TypedDict, total=False):
    """The sections of an experiment beside its data; each is a dict of knobs."""

    model: str | Mapping[str, Any]  # a kind, or its knobs with a `kind` among them
    weighting: str | Mapping[str, Any]
    inputs: Mapping[str, Any]
    train: Mapping[str, Any]
    sweep: Mapping[str, Any]  # section -> knob -> values


def fit(
    data: Any,
    schema: Schema | Mapping[str, Any] | str | os.PathLike | None = None,
    *,
    seeds: int | None = None,
    run_dir: str | os.PathLike | None = None,
    **sections: Unpack[Sections],
) -> "TrainedRun":
    """Trains a model on rows in memory or in files, and keeps the run in a directory.

        fit(frame, "schema.toml", model="mmoe", train={"epochs": 5})
        fit("log-*.parquet", "schema.toml")
        fit(frame, schema, model={"kind": "ple", "expert_dims": [64]}, seeds=3)

    The run is to the bit that of `ple-jax train` on the same rows in a file.

    Args:
        data: A pandas or polars frame, an Arrow table, any object with the Arrow
            PyCapsule interface, or a dict of columns. Or the path of a file of CSV,
            CSV.gz or Parquet, a pattern with *, or a list of these. Or a data set that
            is prepared already, such as `data` of another run: it needs no schema.
        schema: What the columns mean: the path of a TOML file, its content as a dict,
            or a `Schema`.
        seeds: Trials to train, with one seed after another; sets `train.seeds`.
        run_dir: The new run directory; by default the first of runs/MODEL,
            runs/MODEL-2, ... that does not exist.
        **sections: `model`, `weighting`, `inputs`, `train` and `sweep`, as in an
            experiment file; a model or weighting may be its kind alone.

    Raises:
        ValueError: An unknown section, knob or column (with the nearest), or a value
            that does not fit the schema.
        FileExistsError: The run directory is not empty.
        Stopped: A signal came; the message says how to continue.
    """
    tree = _tree(sections, seeds)
    kind = config.kind_of("model", tree)
    place = pathlib.Path(run_dir) if run_dir else runs.free_directory(kind)
    runs.check_free(place)
    kept = str(place.resolve() / runs.DATA)
    tree, lists = sweep.taken({"data": {"kind": "prepared", "directory": kept}, **tree})
    of_kinds = lambda kinds: config.from_dict(config.with_kinds(tree, kinds)[0])
    experiment = of_kinds({})
    runtime.keep_compiled()
    with _prepared(data, schema, place.parent) as prepared:
        if sweep.is_sweep(config.to_dict(experiment), lists):
            study.create(place, sweep.of(of_kinds, lists), prepared)
        else:
            loop.check(experiment, prepared)
            runs.create_run(place, experiment, prepared)
    console.say(f"run directory: {place}")
    return open(place).resume()


def open(run_dir: str | os.PathLike) -> "TrainedRun":
    """Opens the directory of a run or of a sweep, whoever trained it.

    Raises:
        ValueError: It is no run directory, or is damaged.
    """
    place = pathlib.Path(run_dir)
    if not sweep.is_sweep(runs.recorded_tree(place)):
        return TrainedRun(place)
    names = [trial.name for trial in study.recorded(place).trials]
    folder = runs.trials_folder(place)
    return TrainedRun(place, {name: TrainedRun(folder / name) for name in names})


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrainedRun:
    """A run directory, put to use.

    A sweep, or a run of several seeds, has trials; it predicts and evaluates by the
    trial that was best on validation, and its table shows all of them.

    Attributes:
        directory: Where the run is.
        trials: Name -> trial, each a run of its own; empty for a lone run.
    """

    directory: pathlib.Path
    trials: Mapping[str, "TrainedRun"] = dataclasses.field(default_factory=dict)

    @cached_property
    def run(self) -> runs.Run:
        """The run that predicts: its experiment, data and files."""
        return runs.open_run(self.best.directory)

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
        result = self.best.run.result or {}
        if "validation" not in result:
            return None
        train, layout = self.run.experiment.train, self.data.layout
        metric = evaluate.resolve_metric(train.metric, layout)
        value = evaluate.chosen_metric(result["validation"], metric)
        return evaluate.score_of(value, metric)

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

    def resume(self) -> "TrainedRun":
        """Trains on to the end from where the run stopped, to the same bits.

        Raises:
            Stopped: A signal came; the run can be resumed again.
            FloatingPointError: The run, or every trial, diverged.
        """
        try:
            if self.trials:
                asked = study.recorded(self.directory)
                study.fit(study.open_study(self.directory, asked), resume=True)
            else:
                loop.fit(self.run, resume=True)
        except loop.Stopped as stop:
            again = f"ple_jax.open({str(self.directory)!r}).resume()"
            raise loop.Stopped(f"stopped by {stop}; continue with {again}") from None
        return open(self.directory)

    @cached_property
    def _scorer(self) -> tuple[evaluate.Scorer, Any]:
        return load_scorer(self.run)

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
            keep: Columns of the data to copy in front of the scores, such as keys.
            domain: Adds the column `domain`: the one that each row was scored in.
            joint: Adds the joint probability of each task that is given another, such
                as `buy_and_click`.

        Returns:
            One float32 column a task: its probability, or the number itself for a
            squared loss. A pandas frame gives a pandas frame with its index, a polars
            frame a polars frame, all else an Arrow table.

        Raises:
            ValueError: A row does not fit the schema, or all values of a field are
                unknown and `allow_unknown` is false.
        """
        table = table_of(data)
        beside = Beside(keep, domain, joint=joint)
        scored = predict_table(self.run, self._scorer, table, allow_unknown, beside)
        return same_kind(scored, data)

    def evaluate(self, split: str = "test") -> dict[str, Any]:
        """Measures a split, as `ple-jax evaluate --json` does.

        Returns:
            `split`, `examples`, `tasks` (task -> metric -> value), and `domains`
            (domain -> task -> metric -> value).
        """
        scorer, variables = self._scorer
        return {"split": split, **scorer.report(variables, split)}

    def table(self) -> Tables:
        """The final tables: text where text is shown, HTML in a notebook."""
        result = self.result
        splits = tables.held_out(result)
        if self.trials:
            points = (tables.point_table(s, result["points"]) for s in splits)
            return Tables([tables.trial_table(result["trials"]), *points])
        return Tables([tables.metric_table(s, result[s]["tasks"]) for s in splits])

    def __repr__(self) -> str:
        trials = f", {len(self.trials)} trials" if self.trials else ""
        return f"TrainedRun({str(self.directory)!r}{trials})"


def _tree(sections: Mapping[str, Any], seeds: int | None) -> dict[str, Any]:
    """The nested dicts of an experiment, in plain values."""
    for name in sections:
        known = "schema", "seeds", "run_dir", *Sections.__annotations__
        check_known(name, known, "argument of fit")
    tree = {name: plain(section) for name, section in sections.items()}
    for section in config.PLUGINS:
        if isinstance(tree.get(section), str):
            tree[section] = {"kind": tree[section]}
    config.check_sections({k: v for k, v in tree.items() if k != "sweep"})
    if seeds is not None:
        if "seeds" in tree.get("train", {}):
            raise ValueError("train.seeds is given twice, as `seeds` and in `train`.")
        tree["train"] = {**tree.get("train", {}), "seeds": seeds}
    return tree


@contextmanager
def _prepared(data: Any, schema: Any, folder: pathlib.Path) -> Iterator[Prepared]:
    """Yields the prepared data set; one that is made here is gone afterwards."""
    if isinstance(data, Prepared):
        if schema is not None:
            raise ValueError("A prepared data set has its schema: name no other.")
        yield data
        return
    paths = _paths(data)
    if paths is None:
        source = source_of(table_of(data), _schema(schema))
    else:
        source = table.source_of(paths, _schema(schema))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as scratch:
        with console.bar("preparing") as advance:
            made = prepare(source, pathlib.Path(scratch) / runs.DATA, advance)
        yield made


def _paths(data: Any) -> list[str] | None:
    """The paths of files, if it is such; None for rows in memory."""
    if isinstance(data, str | os.PathLike):
        return [os.fspath(data)]
    several = isinstance(data, list | tuple) and len(data) > 0
    if several and all(isinstance(each, str | os.PathLike) for each in data):
        return [os.fspath(each) for each in data]
    return None


def _schema(given: Any) -> Schema:
    if isinstance(given, Schema):
        return given
    if isinstance(given, Mapping):
        return schema_from_tree(plain(given))
    if isinstance(given, str | os.PathLike):
        return read_schema(os.fspath(given))
    raise ValueError(
        "schema must be the path of a TOML file, its content as a dict, or a Schema, "
        f"got {given!r}."
    )
