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
from ple_jax.data.loader import Loader
from ple_jax.data.store import Prepared
from ple_jax.parallel.mesh import make_mesh
from ple_jax.runs.directory import prepare_data
from ple_jax.train import loop
from ple_jax.train.evaluate import Scorer
from ple_jax.train.feed import feed_of
from ple_jax.train.state import variables_of
from ple_jax.train.step import trainer_of

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
        train, mesh = experiment.train, make_mesh(1)
        self.progress = loop.Progress()
        loader = Loader(data.split("train"), train.batch_size, train.seed)
        self.trainer = trainer_of(experiment, data.layout, loader.steps_per_epoch)
        self.feed = feed_of(loader, self.trainer, train, mesh)
        self.scorer = Scorer(self.trainer.score, mesh, data, train.eval_batch_size)
        self.state = self.trainer.init()

    def epoch(self) -> dict[str, Any]:
        """One epoch in the loop's own way, and validation."""
        start = time.perf_counter()
        for step in loop.steps(self.trainer, self.feed, self.state, self.progress):
            self.state = step[0]
        jax.block_until_ready(self.state)
        trained = time.perf_counter()
        report = self.scorer.report(variables_of(self.state), "validation")
        end = time.perf_counter()
        auc = next(iter(report["tasks"].values()))["auc_roc"]
        self.progress = self.progress.after_epoch(auc)
        return {
            "train": trained - start,
            "evaluate": end - trained,
            "examples": self.feed.loader.steps_per_epoch * self.feed.train.batch_size,
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
