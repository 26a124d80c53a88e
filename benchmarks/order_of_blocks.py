"""What does an order of blocks cost a model's AUC, beside a full shuffle?

    python benchmarks/order_of_blocks.py experiments/census_ple.toml [--seeds 5]
    python benchmarks/order_of_blocks.py EXPERIMENT --sort domain --windows 64 8

Each order trains the experiment from the same seeds. `--rows` is that of a block, and
`--windows` says how many of them are mixed; a window of few blocks stands for a split
that is many times as large. `--sort` puts train in the order of its domains, its labels
or its first field before it is cut into blocks, as logs lie that are kept by shop or by
day: then examples of a block are alike. Test is read once by each run; differences are
of the same seed.
"""

import dataclasses
import pathlib
import tempfile

import numpy as np
from lib import report

from ple_jax import config
from ple_jax.config.experiment import Experiment
from ple_jax.data import blocks
from ple_jax.data.examples import Examples
from ple_jax.data.prepare import prepare
from ple_jax.data.store import Prepared
from ple_jax.runs.directory import create_run, source_of
from ple_jax.train import loop

KEYS = {
    "domain": lambda split: split.domain,
    "label": lambda split: split.labels[:, 0],
    "field": lambda split: split.ids[:, 0],
}


def main() -> None:
    """Print one row an order and task, or one JSON object."""
    parser = report.command(__doc__)
    parser.add_argument(
        "experiment", nargs="?", default="experiments/synthetic_ple.toml"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=256, help="of a block")
    parser.add_argument("--windows", type=int, nargs="+", default=[64])
    parser.add_argument("--sort", choices=KEYS)
    asked = parser.parse_args()
    tree = config.load(pathlib.Path(asked.experiment))
    seeds = range(2 if asked.quick else asked.seeds)
    if asked.quick:
        tree["data"] = {"kind": "synthetic", "examples": 2000}
        tree["train"] = {"epochs": 1, "batch_size": 64}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data = divided(config.from_dict(tree), folder / "data", asked.rows, asked.sort)
        orders = {"full": {"order": "full"}}
        for window in asked.windows:
            of_blocks = {"order": "blocks", "window": window, "data_on": "host"}
            orders[f"blocks, {window}"] = of_blocks
        found = {
            order: [auc(tree, {**train, "seed": s}, data, folder) for s in seeds]
            for order, train in orders.items()
        }
    report.show("AUC on test", compared(found, data), asked.json)


def divided(
    experiment: Experiment, folder: pathlib.Path, rows: int, key: str | None
) -> Prepared:
    """The data set in blocks of so many rows, whose train split may be sorted."""
    blocks.rows_of_block = lambda row_bytes: rows
    data = prepare(source_of(experiment.data), folder)
    if key:
        split = data.split("train")
        order = np.argsort(KEYS[key](split), kind="stable")
        data = Sorted(data.directory, data.facts, data.encoder)
        data._opened["train"] = Examples.of(
            {name: array[order] for name, array in split.arrays().items()}
        )
    return data


class Sorted(Prepared):
    """A data set whose train split is in memory only, and is not copied to a run."""

    def copy_to(self, directory: pathlib.Path) -> Prepared:
        """Itself, with the small files of a run directory."""
        super().copy_to(directory)
        return self


def auc(
    tree: dict, train: dict, data: Prepared, folder: pathlib.Path
) -> dict[str, float]:
    """Task -> AUC on test (or validation, where there is none) of a run."""
    whole = {**tree, "train": {**tree.get("train", {}), **train, "seeds": 1}}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        run = create_run(pathlib.Path(place) / "run", config.from_dict(whole), data)
        result = loop.fit(dataclasses.replace(run, data=data))
    of_tasks = result[data.splits[-1]]["tasks"]
    return {k: v["auc_roc"] for k, v in of_tasks.items() if "auc_roc" in v}


def compared(found: dict[str, list[dict[str, float]]], data: Prepared) -> list:
    """Means over seeds, and of differences to the first order, with their errors."""
    records, first = [], next(iter(found))
    rows = data.facts["splits"]["train"]["rows"]
    for order, runs in found.items():
        for task in runs[0]:
            own = np.array([run[task] for run in runs])
            other = own - [run[task] for run in found[first]]
            records.append(
                {
                    "order": order,
                    "task": task,
                    "rows": rows,
                    "AUC": round(float(own.mean()), 5),
                    "deviation": round(float(own.std(ddof=1)), 5),
                    "difference": round(float(other.mean()), 5),
                    "its error": round(float(other.std(ddof=1) / len(own) ** 0.5), 5),
                }
            )
    return records


if __name__ == "__main__":
    main()
