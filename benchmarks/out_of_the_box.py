"""How good are the defaults on data that nobody tuned for, beside trees?

    python benchmarks/out_of_the_box.py census_income hotel SCHEMA.toml:FILE.csv
    python benchmarks/out_of_the_box.py census_income:group=education --seeds 5

A set is a data plugin, with options if wanted, or a schema and a file. Each is trained
with nothing but defaults: PLE, and single tasks with tables of their own. Trees
(scikit-learn's, in extra "dev") stop early by validation; they read the same columns,
with ids as numbers in order of frequency, and once more with counts and target means
beside them. Test is read once by each.
"""

import pathlib
import tempfile
import time
import warnings
from typing import Any

import numpy as np
from lib import report
from lib.sets import binary, source_of, with_encodings
from lib.trees import NUMBERS, columns
from sklearn.ensemble import HistGradientBoostingClassifier

import ple_jax
from ple_jax.data.prepare import prepare
from ple_jax.data.store import Prepared
from ple_jax.metrics import intervals
from ple_jax.metrics.curves import auc_roc
from ple_jax.schema import Task

MODELS: dict[str, dict[str, Any]] = {
    "ple": {"model": "ple"},
    "single_task": {"model": "single_task", "inputs": {"per_task": True}},
}
TREES = {"trees": ("id",), "trees+": NUMBERS}  # contender -> encodings of its ids
SETTINGS = {"max_iter": 1000, "n_iter_no_change": 20, "random_state": 0}


def main() -> None:
    """Print one row a task and contender, or one JSON object."""
    parser = report.command(__doc__)
    parser.add_argument("sets", nargs="*", default=["synthetic"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--contenders", nargs="+", default=[*MODELS, *TREES])
    asked = parser.parse_args()
    seeds = 2 if asked.quick else asked.seeds
    sets = ["synthetic:examples=2000"] if asked.quick else asked.sets
    results = []
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # names of scikit-learn
        for number, name in enumerate(sets):
            place = pathlib.Path(scratch) / str(number)
            results += contest(name, place, asked.contenders, seeds)
    report.show("out of the box", results, asked.json)


def contest(
    name: str, place: pathlib.Path, contenders: list[str], seeds: int
) -> list[report.Record]:
    """One record a task and contender."""
    source = source_of(name)
    short = pathlib.Path(name.partition(".toml:")[0]).name
    data = prepare(source, place / "auto")
    found: list[report.Record] = []
    for contender in contenders:
        start = time.perf_counter()
        if contender in MODELS:
            measured = ours(data, MODELS[contender], seeds, place / contender)
        else:
            encoded = with_encodings(source, TREES[contender])
            measured = trees(prepare(encoded, place / contender))
        seconds = round(time.perf_counter() - start)
        for task, facts in measured.items():
            record = {"set": short, "task": task, "contender": contender}
            found.append({**record, **facts, "seconds": seconds})
    return found


def ours(
    data: Prepared, sections: dict[str, Any], seeds: int, place: pathlib.Path
) -> dict[str, report.Record]:
    """Task -> facts of all seeds, trained with nothing but defaults."""
    run = ple_jax.fit(data, seeds=seeds, run_dir=place, **sections)
    trials = [*run.trials.values()] or [run]
    epochs = [trial.result["course"]["best_epoch"] for trial in trials]
    found = {}
    for task in binary(data):
        areas = [t.result["test"]["tasks"][task.name]["auc_roc"] for t in trials]
        facts = trials[0].result["test"]["tasks"][task.name]
        found[task.name] = {
            "positives": facts["positives"],
            "auc": float(np.mean(areas)),
            "over seeds": float(np.std(areas, ddof=1)) if seeds > 1 else None,
            "epoch": "-".join(map(str, sorted({min(epochs), max(epochs)}))),
        }
    return found


def trees(data: Prepared) -> dict[str, report.Record]:
    """Task -> facts of trees that stop early by validation."""
    inputs = {split: columns(data, split) for split in ("train", "validation", "test")}
    names = [task.name for task in data.layout.tasks]
    each = [(task, names.index(task.name)) for task in binary(data)]
    return {task.name: trees_of(data, inputs, task, i) for task, i in each}


def trees_of(data: Prepared, inputs: dict, task: Task, i: int) -> report.Record:
    """AUC on test, and its standard error, which all contenders nearly share."""
    seen = {split: data.split(split).observed[:, i] for split in inputs}
    labels = {split: data.split(split).labels[seen[split], i] for split in inputs}
    rows = {split: inputs[split][seen[split]] for split in inputs}
    fitted = HistGradientBoostingClassifier(early_stopping=True, **SETTINGS).fit(
        rows["train"],
        labels["train"],
        X_val=rows["validation"],
        y_val=labels["validation"],
    )
    scores = fitted.decision_function(rows["test"])
    user, weight = data.split("test").user, np.ones(len(scores))
    user = None if user is None else user[seen["test"]]
    error = intervals.measure(task, scores, labels["test"], weight, user)["auc_roc"]
    return {
        "positives": int(labels["test"].sum()),
        "auc": auc_roc(scores, labels["test"]),
        "test error": error["standard_error"],
        "epoch": fitted.n_iter_,
    }


if __name__ == "__main__":
    main()
