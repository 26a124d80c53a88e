"""What trains and scores, put together: mesh, loader, trainer, feed and scorer."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import jax
import numpy as np

from ple_jax.config.experiment import Experiment, Train
from ple_jax.data.loader import Loader, Loaders
from ple_jax.data.store import Prepared
from ple_jax.parallel.mesh import check_batch_size, make_mesh, state_shardings
from ple_jax.train import step, vmapped
from ple_jax.train.evaluate import Scorer, check_metric
from ple_jax.train.feed import Feed, feed_of
from ple_jax.train.state import TrainState
from ple_jax.train.step import Trainer
from ple_jax.types import PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """The parts that train and score one trial, or several as one program.

    A part is made when it is first asked for.

    Attributes:
        experiments: One for each trial; they differ in seeds and in traced knobs.
        data: What they read.
        vmapped: Whether arrays have a leading axis R of trials.
    """

    experiments: Sequence[Experiment]
    data: Prepared
    vmapped: bool = False

    @property
    def train(self) -> Train:
        """The settings, alike but for seeds and traced knobs."""
        return self.experiments[0].train

    @cached_property
    def mesh(self) -> jax.sharding.Mesh:
        """The devices that share a batch."""
        return make_mesh(self.train.devices)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the train split."""
        return self.data.facts["splits"]["train"]["rows"] // self.train.batch_size

    @cached_property
    def loader(self) -> Loader | Loaders:
        """The batches of the train split: one loader if all trials read the same."""
        return loader_of(self.experiments, self.data)

    @cached_property
    def trainer(self) -> Trainer:
        """The jitted functions."""
        layout, steps = self.data.layout, self.steps_per_epoch
        if not self.vmapped:
            return step.trainer_of(self.experiments[0], layout, steps)
        shared = isinstance(self.loader, Loader)
        return vmapped.trainer_of(self.experiments, layout, steps, shared)

    @cached_property
    def feed(self) -> Feed:
        """The batches on their way to the device."""
        return feed_of(self.loader, self.trainer, self.train, self.mesh)

    @cached_property
    def scorer(self) -> Scorer:
        """Scores whole splits and measures the scores."""
        size = self.train.eval_batch_size
        return Scorer(self.trainer.score, self.mesh, self.data, size)

    def logits(self, variables: PyTree, split: str) -> np.ndarray:  # (rows, R, T)
        """Logits of a whole split for each trial, of which a lone run is one."""
        logits = self.scorer.of_split(variables, split)
        return logits if self.vmapped else logits[:, None]

    def check(self) -> None:
        """Checks what can be known before training.

        Raises:
            ValueError: A batch does not split evenly over the devices, or there is no
                such metric.
        """
        check_batch_size(self.mesh, self.train.batch_size)
        check_metric(self.train.metric, self.data.layout)

    def start(self) -> TrainState:
        """The initial state, placed on the devices."""
        return placed(self.trainer, self.mesh, self.vmapped)


def placed(
    trainer: Trainer, mesh: jax.sharding.Mesh, vmapped: bool = False
) -> TrainState:
    """The initial state, placed on the devices of a mesh."""
    places = jax.tree.map(lambda x: x.sharding, shapes(trainer, mesh, vmapped))
    return jax.device_put(trainer.init(), places)


def shapes(
    trainer: Trainer, mesh: jax.sharding.Mesh, vmapped: bool = False
) -> TrainState:
    """The shapes and places of a state, without its arrays."""
    abstract = jax.eval_shape(trainer.init)
    places = state_shardings(mesh, abstract, vmapped)
    return jax.tree.map(lambda x, place: x.update(sharding=place), abstract, places)


def loader_of(experiments: Sequence[Experiment], data: Prepared) -> Loader | Loaders:
    """The batches of the train split: one loader if all trials read the same."""
    orders = {(e.train.seed, e.train.temperature) for e in experiments}
    split, chosen = data.split("train"), [e.train for e in experiments]
    each = [
        Loader(
            split,
            train.batch_size,
            train.seed,
            sampling=train.sampling,
            temperature=train.temperature,
        )
        for train in (chosen[:1] if len(orders) == 1 else chosen)
    ]
    return Loaders(each) if len(each) > 1 else each[0]
