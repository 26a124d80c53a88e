"""How far is a trained run above trees on test, and by more than chance?

    ple-jax train EXPERIMENT --train.seeds 5 --run-dir RUN
    python benchmarks/auc_of_trees.py census_income --scores trees.npz
    python benchmarks/beside_trees.py RUN trees.npz

Both have one data set. A difference is that of the means over seeds, with intervals
over rows (DeLong's), over seeds, and over both. A second row of each task has the mean
logits of all seeds in the place of each: one ensemble beside another.
"""

import pathlib
from collections.abc import Mapping

import numpy as np
from lib import pairs, report

from ple_jax.studies.sides import Side, sides_of


def main() -> None:
    """Print two rows a task, or one JSON object."""
    parser = report.command(__doc__)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("scores", type=pathlib.Path)
    asked = parser.parse_args()
    (side,) = sides_of([asked.run])
    with np.load(asked.scores) as scores:
        records = compared(side, scores)
    report.show("run above trees", records, asked.json)


def compared(side: Side, scores: Mapping[str, np.ndarray]) -> list[report.Record]:
    """The records of all tasks that trees have scored: (seeds, B) each, on test."""
    test, ours = side.data.split("test"), side.logits("test")
    records = []
    for i, task in enumerate(side.data.layout.tasks):
        if task.name not in scores:
            continue
        a, b = ours[:, :, i].T, scores[task.name]
        if a.shape[1] != b.shape[1]:
            raise ValueError(
                f"The run has {a.shape[1]} rows of test, trees {b.shape[1]}."
            )
        ways = {"each seed": (a, b), "mean logits": (a.mean(0)[None], b.mean(0)[None])}
        for name, (run, trees) in ways.items():
            found = pairs.difference(test, i, task, run, trees)
            records.append({"task": task.name, "of": name, **found})
    return records


if __name__ == "__main__":
    main()
