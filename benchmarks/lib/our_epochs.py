"""Our epochs, as a child process of `epochs_vs_peers.py`.

python -m lib.our_epochs    (in benchmarks/)
"""

import json
import pathlib
import time
from typing import Any

import jax

from ple_jax import config
from ple_jax.config import flags
from ple_jax.config.experiment import Experiment
from ple_jax.data.store import Prepared
from ple_jax.runs.directory import prepare_data

from .protocol import serve
from .training import Training

FACTS, DATA = "facts.json", "data"


class Epochs:
    """Trains one more epoch for each request."""

    def __init__(self):
        self.training: Training | None = None

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time one more epoch; or only prepare the data, if the request says so."""
        folder, experiment = pathlib.Path(request["folder"]), experiment_of(request)
        if request.get("prepare"):
            write(folder, experiment)
            return {}
        if self.training is None:
            self.training = Training(experiment, Prepared.open(folder / DATA))
        return timed(self.training)


def timed(training: Training) -> dict[str, Any]:
    """One epoch and its validation."""
    start = time.perf_counter()
    training.epoch()
    jax.block_until_ready(training.state)
    trained = time.perf_counter()
    report = training.setup.scorer.report(training.variables, "validation")
    end = time.perf_counter()
    return {
        "train": trained - start,
        "evaluate": end - trained,
        "examples": training.examples,
        "auc": next(iter(report["tasks"].values()))["auc_roc"],
        "parameters": sum(x.size for x in jax.tree.leaves(training.state.trained)),
    }


def experiment_of(request: dict[str, Any]) -> Experiment:
    """The experiment with these batches, Torch-RecHub's rate, and no averages."""
    changed = {
        "train.batch_size": [str(request["batch_size"])],
        "train.learning_rate": ["1e-3"],
        "train.average_decay": ["0"],
    }
    tree = config.load(pathlib.Path(request["experiment"]))
    return flags.experiment(tree, changed)[0]


def write(folder: pathlib.Path, experiment: Experiment) -> None:
    """Write the prepared data set, and what the other side must know of the model."""
    layout = prepare_data(experiment.data).copy_to(folder / DATA).layout
    if layout.bags or any(column.bins for column in layout.numbers):
        raise ValueError("The other side reads ids and plain numbers only.")
    facts = {
        "rows": [column.rows for column in layout.ids],
        "numbers": len(layout.numbers),
        "tasks": len(layout.tasks),
        "width": experiment.inputs.embedding_dim,
        "model": dict(experiment.model.options),
    }
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    serve(Epochs())
