"""What trains and scores, put together: mesh, loader, trainer, feed and scorer."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np

from ple_jax.config.experiment import Experiment, MeshShape, Train
from ple_jax.data.blocks import Blocks
from ple_jax.data.loader import Loader, Loaders
from ple_jax.data.store import Prepared
from ple_jax.data.stream import BlockLoader, StreamLoader
from ple_jax.embeddings.tables import Tables
from ple_jax.parallel import processes, runtime
from ple_jax.parallel.memory import fits_host
from ple_jax.parallel.mesh import (
    DATA,
    MODEL,
    check_batch_size,
    check_experts,
    make_mesh,
    state_shardings,
)
from ple_jax.runs.defaults import resolved_for
from ple_jax.train import vmapped
from ple_jax.train.counted_rows import CountedRows
from ple_jax.train.evaluate import Scorer, resolve_metric
from ple_jax.train.feed import Feed, feed_of
from ple_jax.train.state import TrainState
from ple_jax.train.step import Step
from ple_jax.train.trainer import Trainer, step_of, trainer_of
from ple_jax.train.vmapped import Where

FIRST = 2  # batches that say how many rows devices ask each other for
LARGE = 2**28  # bytes of an array, from which on huge pages are worth a second


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """The parts that train and score one trial, or several as one program.

    Each part is made when it is first asked for.

    Attributes:
        experiments: One for each trial; they differ in seeds and in traced knobs.
        data: What they read.
        vmapped: Whether arrays have a leading axis R of trials.
        trains: Whether it is to train: several devices then exchange rows of tables.
    """

    experiments: Sequence[Experiment]
    data: Prepared
    vmapped: bool = False
    trains: bool = False

    def __post_init__(self):
        numbers = [resolved_for(one, self.data) for one in self.experiments]
        object.__setattr__(self, "experiments", numbers)

    @property
    def train(self) -> Train:
        """The settings; seeds and traced knobs are those of the first trial."""
        return self.experiments[0].train

    @cached_property
    def mesh(self) -> jax.sharding.Mesh:
        """The devices; to score, all share a batch, however many trained."""
        return self._mesh_of(self.train.mesh if self.trains else MeshShape())

    @property
    def where(self) -> Where:
        """Where the arrays of a state lie."""
        return Where(self.mesh, self.trainer.replicated)

    def _mesh_of(self, shape: MeshShape) -> jax.sharding.Mesh:
        return make_mesh(self.train.devices, shape.data, shape.model)

    def check(self) -> None:
        """Checks what is known before training.

        Raises:
            ValueError: The devices or the loader refuse a batch of this size, there is
                no such metric, a split is damaged, or training ends before the warm-up
                does.
        """
        mesh = self._mesh_of(self.train.mesh)
        check_batch_size(mesh, self.train.batch_size)
        if MODEL in mesh.shape:
            check_experts(mesh, jax.eval_shape(self.step.init))
        _ = self.metric, self.loader
        # Damage to test would else be found when all is trained.
        for split in self.data.splits[1:]:
            self.data.split(split)
        steps = self.train.epochs * self.steps_per_epoch
        if self.train.warmup_steps >= steps:
            raise ValueError(
                f"train.warmup_steps must be below the {steps:,} steps of the whole "
                f"run, got {self.train.warmup_steps:,}."
            )

    @property
    def metric(self) -> str:
        """The validation metric that chooses the best epoch."""
        return resolve_metric(self.train.metric, self.data.layout)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of the train split."""
        return self.data.facts["splits"]["train"]["rows"] // self.train.batch_size

    @cached_property
    def loader(self) -> Loader | Loaders:
        """The batches of the train split: one loader if all trials read the same."""
        orders = [(e.train.seed, e.train.temperature) for e in self.experiments]
        if len(set(orders)) == 1:
            orders = orders[:1]
        each = [loader_of(self.train, self.data, *order) for order in orders]
        return Loaders(each) if len(each) > 1 else each[0]

    @cached_property
    def trainer(self) -> Trainer:
        """The jitted functions."""
        layout, steps = self.data.layout, self.steps_per_epoch
        devices = self.mesh, self.exchanged
        if not self.vmapped:
            return trainer_of(self.experiments[0], layout, steps, *devices)
        shared = isinstance(self.loader, Loader)
        return vmapped.trainer_of(self.experiments, layout, steps, shared, *devices)

    @cached_property
    def exchanged(self) -> Mapping[str, float]:
        """The tables whose rows devices exchange, with room for what batches ask.

        It is known from the first batches of an epoch, of all processes.
        """
        one = self.mesh.shape[DATA] == 1 and not self.by_cores
        if not self.trains or one:
            return {}
        mine = self.step.rows.shares(self.loader.batches(0, 0, FIRST))
        each = processes.from_all(mine)
        return {name: max(of[name] for of in each) for name in mine}

    @property
    def by_cores(self) -> bool:
        """Whether SparseCores are to exchange rows."""
        return self.experiments[0].inputs.exchange == "sparsecore"

    def exchange_record(self, counts: Sequence[jax.Array]) -> dict[str, Any]:
        """What the journal says of an epoch, by the second results of its dispatches.

        "room" is how many rows of a table one device can ask another for at a time;
        "overflows" counts the exchanges that were asked for more and took several
        rounds, since the last start where that was within the epoch.
        """
        size = self.train.batch_size // self.mesh.shape[DATA]
        tables = dataclasses.replace(self.tables, exchanged=self.exchanged)
        room = {name: tables.room(name, size) for name in self.exchanged}
        each = [int(np.max(count.addressable_data(0))) for count in counts]
        return {"room": room, "overflows": sum(each)}

    @property
    def step(self) -> Step:
        """The step of the first trial, as the trainer has it."""
        first, layout = self.experiments[0], self.data.layout
        return step_of(first, layout, self.steps_per_epoch, self.mesh)

    @cached_property
    def rows(self) -> CountedRows:
        """Which rows of the tables in a checkpoint of the state count."""
        return rows_of(self.tables, self.vmapped)

    @property
    def tables(self) -> Tables:
        """The tables of the first trial."""
        return Tables(self.data.layout, self.experiments[0].inputs, self.mesh)

    @cached_property
    def feed(self) -> Feed:
        """The batches on their way to the devices."""
        return feed_of(self.loader, self.trainer, self.train, self.mesh)

    @cached_property
    def scorer(self) -> Scorer:
        """Scores whole splits and measures the scores."""
        # Rounded up, so that it splits evenly over the devices.
        parts = self.mesh.shape[DATA]
        size = -(-self.train.eval_batch_size // parts) * parts
        trainer, prepare = self.trainer, None
        if self.trains and self.by_cores:
            prepare = trainer.prepare
        devices = self.mesh, self.data, size
        return Scorer(trainer.score, *devices, watch=trainer.watch, prepare=prepare)


def loader_of(
    train: Train, data: Prepared, seed: int, temperature: float
) -> Loader | BlockLoader:
    """The batches of the train split by one seed, of this process."""
    size, part = train.batch_size, processes.part()
    if train.order == "full":
        mix = train.sampling
        return Loader(data.split("train"), size, seed, part, mix, temperature)
    blocks = data.blocks("train")
    if data.elsewhere or on_disk(train, blocks):
        return StreamLoader(blocks, size, seed, part, train.window)
    return BlockLoader(blocks, size, seed, part, train.window, data.split("train"))


def on_disk(train: Train, blocks: Blocks) -> bool:
    """Whether batches of blocks are read as they are needed.

    Several processes do so under `auto`, since each reads a part of the split.
    """
    if train.data_on == "auto":
        return processes.several() or not fits_host(blocks.rows * blocks.row_bytes)
    return train.data_on == "disk"


def rows_of(tables: Tables, vmapped: bool = False) -> CountedRows:
    """Which rows of saved tables count."""
    lengths = {name: tables.length(name) for name in tables.fused}
    return CountedRows(lengths, int(vmapped))


def placed(
    trainer: Trainer, mesh: jax.sharding.Mesh, vmapped: bool = False
) -> TrainState:
    """The initial state, placed on the devices of a mesh."""
    places = state_shardings(mesh, trainer.shapes(), vmapped, trainer.replicated)
    if mesh.size > 1:
        return on_huge_pages(trainer.init_at(places))
    return on_huge_pages(jax.device_put(trainer.init(), places))


def on_huge_pages(state: TrainState) -> TrainState:
    """The same state; on CPU, its large arrays lie on huge pages, if Linux has them.

    Steps donate the state, so its arrays stay where they are.
    """
    large = [leaf for leaf in jax.tree.leaves(state) if leaf.nbytes >= LARGE]
    if jax.default_backend() == "cpu":
        for shard in (shard for leaf in large for shard in leaf.addressable_shards):
            address = shard.data.unsafe_buffer_pointer()
            runtime.use_huge_pages(address, shard.data.nbytes)
    return state


def shapes(
    trainer: Trainer, mesh: jax.sharding.Mesh, vmapped: bool = False
) -> TrainState:
    """The shapes and places of a state, without its arrays."""
    abstract = trainer.shapes()
    places = state_shardings(mesh, abstract, vmapped, trainer.replicated)
    return jax.tree.map(lambda x, place: x.update(sharding=place), abstract, places)
