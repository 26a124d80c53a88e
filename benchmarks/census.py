"""How long the main job takes: preparing Census-Income, and training on it.

    python benchmarks/census.py [--experiment FILE] [--json] [--SECTION.KNOB VALUE ...]

The data set is prepared anew, from raw files that are there already. Examples a second
are those of the epochs after the first: loader included, evaluation not.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import tempfile
import time

import jax

from ple_jax import config, data, flags, loop, run
from ple_jax.data._prepare import prepare

EXPERIMENT = pathlib.Path(__file__).parent.parent / "experiments" / "census_ple.toml"


def main() -> None:
    """Prints one figure a line, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--experiment", type=pathlib.Path, default=EXPERIMENT)
    parser.add_argument("--json", action="store_true")
    asked, knobs = parser.parse_known_args()
    experiment, _ = flags.parse(config.load(asked.experiment), knobs, "census.py")
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(experiment, pathlib.Path(folder))
    if asked.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(
            f"{name:26} {value:,}" if isinstance(value, int) else f"{name:26} {value}"
        )


def measure(experiment: config.Experiment, folder: pathlib.Path) -> dict:
    """Prepares and trains once in `folder`."""
    source = data.find(experiment.data.kind).build(**experiment.data.options)
    start = time.perf_counter()
    prepared = prepare(source, folder / "prepared")
    ready = time.perf_counter()
    chosen = run.create(folder / "run", experiment, prepared)
    result = loop.fit(chosen)
    end = time.perf_counter()
    records = [json.loads(line) for line in chosen.metrics.read_text().splitlines()]
    speeds = [record["examples_per_second"] for record in records[1:]]
    tasks = result["validation"]["tasks"]
    return {
        "prepare, s": round(ready - start, 1),
        "train and evaluate, s": round(end - ready, 1),
        "epochs": len(records),
        "examples/s, median epoch": int(statistics.median(speeds)),
        "examples/s, best epoch": max(speeds),
        "validation AUC": {name: round(m["auc_roc"], 5) for name, m in tasks.items()},
        "cores": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "jax": jax.__version__,
    }


if __name__ == "__main__":
    main()
