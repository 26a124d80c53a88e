"""Runs an experiment over several seeds: mean and standard deviation of every metric.

    python experiments/seeds.py experiments/census_ple.toml --seeds 5

Knobs follow as for `ple-jax train`: `--model.kind mmoe --data.features paper`. Each run
is chosen on validation, and its test split is read once, at its end.
"""

import argparse
import json
import pathlib
import statistics
import tempfile

from ple_jax import config, flags, loop, run, writers
from ple_jax.data._store import Prepared


def main() -> None:
    """Trains once per seed and prints one line a metric and task."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("experiment", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked, knobs = parser.parse_known_args()
    results = [one(asked.experiment, knobs, seed) for seed in range(asked.seeds)]
    table = {split: summary([r[split] for r in results]) for split in results[0]}
    if asked.json:
        print(json.dumps(table, indent=2))
        return
    for split, rows in table.items():
        lines = [[name, f"{m:.4f}", f"{s:.4f}"] for name, (m, s) in rows.items()]
        title = f"{split}, {asked.seeds} seeds"
        writers.show(writers.grid(title, ["metric", "mean", "deviation"], lines))


def one(path: pathlib.Path, knobs: list[str], seed: int) -> dict[str, dict]:
    """The final table of one run."""
    knobs = [*knobs, "--train.seed", str(seed)]
    experiment, _ = flags.parse(config.load(path), knobs, "seeds.py")
    result, _ = fitted(experiment, run.prepare(experiment.data))
    return {split: flat(result[split]) for split in ("validation", "test")}


def fitted(experiment: config.Experiment, data: Prepared) -> tuple[dict, list[dict]]:
    """What one run measured at its end, and the records of its epochs."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = run.create(pathlib.Path(folder) / "run", experiment, data)
        result = loop.fit(chosen)
        epochs = [json.loads(x) for x in chosen.metrics.read_text().splitlines()]
    return result, epochs


def flat(measured: dict) -> dict[str, float]:
    """`auc_roc/income` -> value."""
    return {
        f"{name}/{task}": value
        for task, metrics in measured["tasks"].items()
        for name, value in metrics.items()
    }


def summary(results: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """Metric -> mean and sample standard deviation."""
    spread = lambda values: statistics.stdev(values) if len(values) > 1 else 0.0
    columns = {k: [r[k] for r in results] for k in results[0]}
    return {k: (statistics.mean(v), spread(v)) for k, v in columns.items()}


if __name__ == "__main__":
    main()
