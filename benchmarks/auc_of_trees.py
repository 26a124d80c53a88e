"""What AUC do gradient-boosted trees reach on the same split, after a search?

    python benchmarks/auc_of_trees.py census_income --trials 16 --seeds 5
    python benchmarks/auc_of_trees.py census_income:group=education --scores trees.npz

Trees are scikit-learn's (extra "dev"), one model a binary task. Settings are drawn at
random, but for the first, its defaults; all stop early by validation, whose AUC then
chooses. The chosen ones grow from several seeds, and only these read test; without
`max_features` nothing is drawn, so that one seed is all. `--scores` keeps what they
score there, for `beside_trees.py`. Seconds are of the processor.
"""

import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from lib import report, sets, trees

from ple_jax.data.prepare import prepare
from ple_jax.metrics.curves import auc_roc
from ple_jax.metrics.spread import spread


def main() -> None:
    """Print one row a task, or one JSON object."""
    parser = report.command(__doc__)
    parser.add_argument("set", nargs="?", default="census_income")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", help="some of the set's")
    parser.add_argument("--scores", type=pathlib.Path, metavar="FILE.npz")
    asked = parser.parse_args()
    name = "synthetic:examples=2000" if asked.quick else asked.set
    trials, seeds = (2, 2) if asked.quick else (asked.trials, asked.seeds)
    with tempfile.TemporaryDirectory() as scratch:
        inputs = inputs_of(name, pathlib.Path(scratch))
        data = inputs[trees.ALPHABET].data
        tasks = [task.name for task in sets.binary(data)]
        numbers = {t.name: i for i, t in enumerate(data.layout.tasks)}
        found = {
            task: search(inputs, numbers[task], trials, seeds)
            for task in asked.tasks or tasks
        }
    if asked.scores:
        np.savez(asked.scores, **{task: scores for task, (_, scores) in found.items()})
    records = [{"set": name, "task": k, **record} for k, (record, _) in found.items()]
    report.show("AUC of trees", records, asked.json)


def inputs_of(name: str, scratch: pathlib.Path) -> dict[str, trees.Inputs]:
    """Encoding -> what trees read of a set."""
    source, encodings = sets.source_of(name), trees.ENCODINGS
    each = {
        of: trees.Inputs.of(
            prepare(sets.with_encodings(source, of), scratch / "-".join(of))
        )
        for of in set(encodings.values())
    }
    found = {encoding: each[of] for encoding, of in encodings.items()}
    return {**found, trees.ALPHABET: found[trees.ALPHABET].by_value()}


def search(
    inputs: Mapping[str, trees.Inputs], task: int, trials: int, seeds: int
) -> tuple[report.Record, np.ndarray]:
    """The facts of the best settings, and what each seed scores: (seeds, B) on test."""
    start = time.process_time()
    tried = [trees.draw(number) for number in range(trials)]
    reached = [validation(inputs, task, settings) for settings in tried]
    best, searched = int(np.argmax(reached)), time.process_time()
    settings = tried[best]
    own, count = inputs[settings["encoding"]], seeds if trees.is_drawn(settings) else 1
    grown = [trees.fit(inputs, task, settings, seed) for seed in range(count)]
    scores = np.stack([one.decision_function(own.x["test"]) for one in grown])
    test = own.data.split("test")
    seen = test.observed[:, task]
    areas = [auc_roc(one[seen], test.labels[seen, task]) for one in scores]
    return {
        "first, validation": reached[0],
        "validation": reached[best],
        **of_seeds(areas),
        "trees": [one.n_iter_ for one in grown],
        "search, s": searched - start,
        "seeds, s": time.process_time() - searched,
        "trial": best,
        "settings": settings,
    }, scores


def validation(
    inputs: Mapping[str, trees.Inputs], task: int, settings: trees.Settings
) -> float:
    """The AUC of one trial on validation."""
    x, labels = inputs[settings["encoding"]].seen("validation", task)
    grown = trees.fit(inputs, task, settings)
    area = auc_roc(grown.decision_function(x), labels) or 0.0
    print(f"{area:.5f} by {grown.n_iter_} trees: {settings}", file=sys.stderr)
    return area


def of_seeds(areas: list[float | None]) -> dict[str, Any]:
    """Mean and deviation over seeds, and each."""
    over = spread(areas)
    return {
        "test": over["mean"],
        "over seeds": over["standard_deviation"],
        "each": areas,
    }


if __name__ == "__main__":
    main()
