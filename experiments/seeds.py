"""Runs an experiment over several seeds: mean and spread of every metric.

    python experiments/seeds.py experiments/census_ple.toml --seeds 5

Knobs follow as for `ple-jax train`: `--model.kind mmoe --data.features paper`. Each run
is chosen on validation, and its test split is read once, at its end.
"""

import argparse
import json
import pathlib
import sys
import tempfile
from typing import Any

from ple_jax import config
from ple_jax.config import flags
from ple_jax.config.experiment import Experiment
from ple_jax.data.store import Prepared
from ple_jax.metrics.spread import by_task
from ple_jax.runs.directory import create_run, prepare_data
from ple_jax.show import console, tables
from ple_jax.train import loop


def main() -> None:
    """Trains once per seed and prints one line a task and metric."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("experiment", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    ordinary, knobs = flags.split(sys.argv[1:])
    asked = parser.parse_args(ordinary)
    results = [one(asked.experiment, knobs, seed) for seed in range(asked.seeds)]
    splits = ("validation", "test")
    table = {s: by_task([r[s]["tasks"] for r in results]) for s in splits}
    if asked.json:
        print(json.dumps(table, indent=2))
        return
    for split in splits:
        console.show(tables.point_table(split, {asked.experiment.stem: table}))


def one(path: pathlib.Path, knobs: flags.Knobs, seed: int) -> dict[str, Any]:
    """The final table of one run."""
    seeded = {**knobs, "train.seed": [str(seed)]}
    experiment, _ = flags.experiment(config.load(path), seeded)
    result, _ = fitted(experiment, prepare_data(experiment.data))
    return result


def fitted(experiment: Experiment, data: Prepared) -> tuple[dict, list[dict]]:
    """What one run measured at its end, and the records of its epochs."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = create_run(pathlib.Path(folder) / "run", experiment, data)
        result = loop.fit(chosen)
        epochs = [json.loads(x) for x in chosen.metrics.read_text().splitlines()]
    return result, epochs


if __name__ == "__main__":
    main()
