"""Whole epochs, as the training loop takes them, without checkpoints or a journal."""

import pathlib
from collections import deque
from typing import Any

import jax

from ple_jax import config
from ple_jax.config.experiment import Experiment
from ple_jax.data.prepare import prepare
from ple_jax.data.store import Prepared
from ple_jax.datasets import synthetic
from ple_jax.parallel.mesh import make_mesh, state_shardings
from ple_jax.train import loop
from ple_jax.train.evaluate import Scorer
from ple_jax.train.feed import feed_of
from ple_jax.train.state import TrainState, variables_of
from ple_jax.train.step import Trainer, trainer_of

from .measure import in_turn, medians
from .report import Record

BATCH = 4096  # of `feeding`


class Training:
    """The parts of a run on one device."""

    def __init__(self, experiment: Experiment, data: Prepared):
        mesh, self.loader = make_mesh(1), loop.loader_of(experiment, data)
        steps = self.loader.steps_per_epoch
        self.trainer = trainer_of(experiment, data.layout, steps)
        self.feed = feed_of(self.loader, self.trainer, experiment.train, mesh)
        size = experiment.train.eval_batch_size
        self.scorer = Scorer(self.trainer.score, mesh, data, size)
        self.state = placed(self.trainer, mesh)
        self.epochs = 0
        self.examples = steps * experiment.train.batch_size  # in an epoch

    def epoch(self) -> jax.Array:
        """Train one more epoch; returns the number of steps so far."""
        progress = loop.Progress(epoch=self.epochs)
        steps = loop.steps(self.trainer, self.feed, self.state, progress)
        ((self.state, _),) = deque(steps, 1)
        self.epochs += 1
        return self.state.step

    @property
    def variables(self) -> Any:
        """What the scorer takes."""
        return variables_of(self.state)


def placed(trainer: Trainer, mesh: jax.sharding.Mesh, several: bool = False):
    """A fresh state, placed as the loop places it: elsewhere it would compile anew."""
    shapes: TrainState = jax.eval_shape(trainer.init)
    return jax.device_put(trainer.init(), state_shardings(mesh, shapes, several))


def feeding(folder: pathlib.Path, rows: int, rounds: int = 3) -> Record:
    """Rows a second of an epoch, by where its rows lie, and of scoring."""
    data = prepare(synthetic.build(examples=rows), folder / "prepared")
    train = {"batch_size": BATCH, "eval_batch_size": BATCH, "devices": 1}

    def training(where: str) -> Training:
        tree = {"model": {"kind": "ple"}, "train": train | {"data_on": where}}
        return Training(config.from_dict(tree), data)

    host, device = training("host"), training("device")
    ways = {
        "sent": lambda: deque(host.feed.chunks(0, 0), 1),
        "trained, sent": host.epoch,
        "trained, on device": device.epoch,
        "scored": lambda: host.scorer.of_split(host.variables, "train"),
    }
    taken = medians(in_turn(ways, rounds))
    of_way = dict.fromkeys(ways, host.examples) | {"scored": len(data.split("train"))}
    rates = {name: round(of_way[name] / s) for name, s in taken.items()}
    return {"rows": host.examples, **rates}
