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
from ple_jax.train import loop
from ple_jax.train.progress import Place
from ple_jax.train.setup import Setup, placed
from ple_jax.train.state import variables_of

from .measure import in_turn, medians
from .report import Record

BATCH = 4096  # of `feeding`, unless told otherwise


class Training:
    """A run's setup on one device, and the state that its epochs move."""

    def __init__(self, experiment: Experiment, data: Prepared):
        self.setup = Setup([experiment], data)
        self.state = placed(self.setup.trainer, self.setup.mesh)
        self.epochs = 0
        steps = self.setup.loader.steps_per_epoch
        self.examples = steps * experiment.train.batch_size  # in an epoch

    def epoch(self) -> jax.Array:
        """Train one more epoch; returns the number of steps so far."""
        setup, place = self.setup, Place(self.epochs)
        steps = loop.steps(setup.trainer, setup.feed, self.state, place)
        ((self.state, _),) = deque(steps, 1)
        self.epochs += 1
        return self.state.step

    @property
    def variables(self) -> Any:
        """What the scorer takes."""
        return variables_of(self.state)


def feeding(
    folder: pathlib.Path, rows: int, *, batch: int = BATCH, rounds: int = 3
) -> Record:
    """Rows a second of an epoch, by where its rows lie, and of scoring."""
    data = prepare(synthetic.build(examples=rows), folder / "prepared")
    train = {"batch_size": batch, "eval_batch_size": batch, "devices": 1}

    def training(where: str, **more: Any) -> Training:
        tree = {"model": {"kind": "ple"}, "train": train | {"data_on": where} | more}
        return Training(config.from_dict(tree), data)

    host, device = training("host"), training("device")
    disk = training("disk", window=4)
    ways = {
        "sent": lambda: deque(host.setup.feed.chunks(0, 0), 1),
        "trained, sent": host.epoch,
        "trained, on device": device.epoch,
        "trained, from disk": disk.epoch,
        "scored": lambda: host.setup.scorer.of_split(host.variables, "train"),
    }
    taken = medians(in_turn(ways, rounds))
    of_way = dict.fromkeys(ways, host.examples) | {"scored": len(data.split("train"))}
    rates = {name: round(of_way[name] / s) for name, s in taken.items()}
    return {"rows": host.examples, **rates}
