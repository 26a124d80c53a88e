"""Our epochs, as a child process; `../peers_census.py` asks for them.

python -m peers.our_epochs    (in benchmarks/)
"""

import json
import pathlib
import time
from typing import Any

import jax

from peers.protocol import serve
from ple_jax import config
from ple_jax.config.experiment import Experiment
from ple_jax.data.store import Prepared
from ple_jax.runs.directory import prepare_data
from ple_jax.train import loop
from ple_jax.train.progress import Place
from ple_jax.train.setup import Setup
from ple_jax.train.state import variables_of

FACTS, DATA = "facts.json", "data"


class Epochs:
    """Trains on, an epoch for each request, by the parts of `loop.fit`."""

    def __init__(self):
        self.training: Training | None = None

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """The time of one more epoch, or of none where the data are to be prepared."""
        folder, experiment = pathlib.Path(request["folder"]), experiment_of(request)
        if request.get("prepare"):
            write(folder, experiment)
            return {}
        if self.training is None:
            self.training = Training(experiment, Prepared.open(folder / DATA))
        return self.training.epoch()


class Training:
    """What `loop.fit` holds, but for checkpoints and the journal."""

    def __init__(self, experiment: Experiment, data: Prepared):
        one_device = {"train.devices": 1}
        self.setup = Setup([config.with_values(experiment, one_device)], data)
        self.place, self.state = Place(), self.setup.trainer.init()

    def epoch(self) -> dict[str, Any]:
        """One epoch in the loop's own way, and validation."""
        start = time.perf_counter()
        trainer, feed = self.setup.trainer, self.setup.feed
        for step in loop.steps(trainer, feed, self.state, self.place):
            self.state = step[0]
        jax.block_until_ready(self.state)
        trained = time.perf_counter()
        report = self.setup.scorer.report(variables_of(self.state), "validation")
        end = time.perf_counter()
        auc = next(iter(report["tasks"].values()))["auc_roc"]
        self.place = Place(self.place.epoch + 1)
        return {
            "train": trained - start,
            "evaluate": end - trained,
            "examples": feed.loader.steps_per_epoch * feed.train.batch_size,
            "auc": auc,
            "parameters": sum(x.size for x in jax.tree.leaves(self.state.trained)),
        }


def experiment_of(request: dict[str, Any]) -> Experiment:
    """The experiment at these batches, at Torch-RecHub's rate and without averages."""
    tree = config.load(request["experiment"])
    knobs = {"batch_size": request["batch_size"], "learning_rate": 1e-3}
    tree["train"] = {**tree.get("train", {}), **knobs, "average_decay": 0.0}
    return config.from_dict(tree)


def write(folder: pathlib.Path, experiment: Experiment) -> None:
    """The prepared data set, and of it and the model what the other side must know."""
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
