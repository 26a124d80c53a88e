"""The tidy table of runs: every number once, with what it is of."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from lib.training import call, new_run, tiny

from ple_jax import trained
from ple_jax.config import sweep
from ple_jax.studies import sweeps
from ple_jax.studies.tidy import COLUMNS, tidy
from ple_jax.train import loop

SHORT = {"epochs": 2, "batch_size": 512}


def leaves(report):
    """(domain, task, metric) -> value, by loops of its own."""
    found = {}
    for task, metrics in report["tasks"].items():
        found |= {("", task, metric): value for metric, value in metrics.items()}
    for domain, tasks in report["domains"].items():
        for task, metrics in tasks.items():
            found |= {(domain, task, name): value for name, value in metrics.items()}
    return found


@pytest.fixture(scope="module")
def run(everything, tmp_path_factory):
    made = new_run(everything, tmp_path_factory.mktemp("tidy") / "run", train=SHORT)
    loop.fit(made)
    return made


def test_a_run_has_each_number_of_its_journal_and_test_at_the_best_epoch(run):
    frame = tidy(run.directory).to_pandas()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    result = run.result
    assert set(frame.run) == {"run"}
    assert set(frame.seed) == {run.experiment.train.seed}
    by = ["step", "epoch", "split", "domain", "task", "metric"]
    assert not frame.duplicated(by).any()
    found = frame.set_index(by).value
    wanted = {}
    for line in lines:
        place = line["step"], line["epoch"] + 1
        wanted |= {(*place, "train", "", "", k): line[k] for k in ("loss",)}
        wanted[(*place, "train", "", "", "examples_per_second")] = line[
            "examples_per_second"
        ]
        wanted[(*place, "validation", "", "", "score")] = line["score"]
        for split in ("train", "validation"):
            wanted |= {(*place, split, *k): v for k, v in leaves(line[split]).items()}
    best = next(line for line in lines if line["step"] == result["step"])
    place = best["step"], best["epoch"] + 1
    wanted |= {(*place, "test", *k): v for k, v in leaves(result["test"]).items()}
    assert set(found.index) == set(wanted)
    assert len(result["test"]["domains"]) > 1
    for key, value in wanted.items():
        assert found[key] == value or (value is None and pd.isna(found[key])), key
    assert set(frame[frame.best].step) == {result["step"]}
    assert set(frame[~frame.best].step) == {x["step"] for x in lines} - {result["step"]}


def test_the_command_writes_what_python_gives(run, tmp_path):
    out = tmp_path / "metrics.parquet"
    assert call("table", run.directory, "--out", out) == 0
    assert pq.read_table(out).equals(trained.open(run.directory).metrics())
    assert pq.read_schema(out).names == COLUMNS.names
    assert call("table", run.directory, "--out", out) == 2
    assert call("table", run.directory, "--out", tmp_path / "m.csv") == 0
    assert len(pd.read_csv(tmp_path / "m.csv")) == len(pq.read_table(out))


def test_a_sweep_has_a_column_for_each_knob_that_differs(data, tmp_path):
    kinds = lambda kinds: tiny(train=SHORT | {"epochs": 1, "seeds": 2})
    lists = {"train.learning_rate": (0.01, 0.02), "train.optimizer": ("adam", "sgd")}
    made = sweeps.create(tmp_path / "s", sweep.of(kinds, lists), data)
    empty = tidy(made.directory)
    assert empty.num_rows == 0
    loop.fit_group(made.runs[:2], tmp_path / "state")
    frame = tidy(made.directory).to_pandas()
    assert list(frame.columns[1:4]) == [*lists, "seed"]
    assert {tuple(row) for row in frame[[*lists, "seed"]].to_numpy()} == {
        (0.01, "adam", 0),
        (0.01, "adam", 1),
    }
    assert set(frame.run) == {run.directory.name for run in made.runs[:2]}
