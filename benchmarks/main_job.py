"""How long does the main job take: preparing Census-Income, and training on it?

    python benchmarks/main_job.py [--experiment FILE] [--json] [--SECTION.KNOB VALUE]

The data set is prepared anew from raw files that are already there. Examples a second
are those of the epochs after the first, loader included, evaluation excluded.
"""

import json
import pathlib
import statistics
import sys
import tempfile
import time

from lib import report

from ple_jax import config, datasets
from ple_jax.config import flags
from ple_jax.config.experiment import Experiment
from ple_jax.data.prepare import prepare
from ple_jax.runs.directory import create_run
from ple_jax.train import loop

EXPERIMENT = pathlib.Path(__file__).parent.parent / "experiments" / "census_ple.toml"


def main() -> None:
    """Print one figure a line, or one JSON object."""
    parser = report.command(__doc__)
    parser.add_argument("--experiment", type=pathlib.Path, default=EXPERIMENT)
    ordinary, knobs = flags.split(sys.argv[1:])
    asked = parser.parse_args(ordinary)
    knobs |= {"train.epochs": ["2"]} if asked.quick else {}
    experiment, _ = flags.experiment(config.load(asked.experiment), knobs)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(experiment, pathlib.Path(folder))
    if asked.json:
        report.show("", [figures], as_json=True)
        return
    lines = [{"figure": k, "value": report.cell(v)} for k, v in figures.items()]
    report.show(asked.experiment.stem, lines, as_json=False)


def measure(experiment: Experiment, folder: pathlib.Path) -> report.Record:
    """Prepare and train once in `folder`."""
    source = datasets.find(experiment.data.kind).build(**experiment.data.options)
    start = time.perf_counter()
    prepared = prepare(source, folder / "prepared")
    ready = time.perf_counter()
    chosen = create_run(folder / "run", experiment, prepared)
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
    }


if __name__ == "__main__":
    main()
