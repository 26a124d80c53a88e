"""Batches on their way to a step: sent by the host, or picked on the device."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import jax
import numpy as np

from ple_jax.config.experiment import Train
from ple_jax.data.examples import Examples
from ple_jax.data.loader import Loader, Loaders, as_batch
from ple_jax.parallel import memory, processes
from ple_jax.parallel.mesh import batch_shardings, put, put_parts, replicated_sharding
from ple_jax.train.trainer import Trainer
from ple_jax.types import Batch, Picks

SHARE = 1 / 4  # of a device's memory that a split may take
SENT = 2**27  # bytes of batches that go together


@dataclasses.dataclass(frozen=True)
class Feed:
    """The train split's batches, some steps at a time; the same either way.

    Attributes:
        loader: Which rows each batch holds.
        train: How many steps go together.
        mesh: The devices that share a batch.
        prepare: What the host does to the batches that it sends.
        split: All rows, on every device; None if the host sends batches.
    """

    loader: Loader | Loaders
    train: Train
    mesh: jax.sharding.Mesh
    prepare: Callable[[Batch], Batch]
    split: Batch | None

    @cached_property
    def most(self) -> int:
        """Steps of a dispatch, at most."""
        return most_steps(self.train, self.loader.batch_bytes, self.split is not None)

    def chunks(self, epoch: int, step: int) -> Iterator[tuple[Batch | Picks, int]]:
        """The rest of an epoch from a step on: some batches, and how many.

        The leading axis always has `most` entries, of which `count` are real, so that
        every dispatch is the same program. A dispatch ends at the latest where a
        checkpoint is due.
        """
        while step < self.loader.steps_per_epoch:
            end = min(next_save(step, self.train), self.loader.steps_per_epoch)
            count = int(min(self.most, end - step))
            yield self._chunk(epoch, step, count), count
            step += count

    def _chunk(self, epoch: int, step: int, count: int) -> Batch | Picks:
        if self.split is None:
            return self._placed(
                self.prepare(self.loader.batches(epoch, step, count)), count
            )
        rows = self.loader.rows(epoch, step, count).astype(np.int32)
        return Picks(self.split, self._placed(rows, count))

    def _placed(self, batches, count):
        fill = lambda leaf: np.resize(leaf, (self.most, *leaf.shape[1:]))
        whole = batches if count == self.most else jax.tree.map(fill, batches)
        places = batch_shardings(self.mesh, whole, self.loader.axes)
        return put_parts(whole, places)


def most_steps(train: Train, batch_bytes: int, on_device: bool) -> int:
    """Steps of a dispatch: as many as asked for, but fewer if batches are large.

    Two at least: a program for one has the last bits of another order of sums.

    Args:
        train: What asks.
        batch_bytes: Bytes of the batch that this process sends for a step.
        on_device: Whether none is sent.
    """
    asked = train.steps_per_dispatch
    return asked if on_device else min(asked, max(2, SENT // batch_bytes))


def feed_of(
    loader: Loader | Loaders, trainer: Trainer, train: Train, mesh: jax.sharding.Mesh
) -> Feed:
    """Chooses where the train split lies and puts it there."""
    on_device = loader.in_memory and (
        train.data_on == "device"
        or (
            train.data_on == "auto"
            and not trainer.prepares
            and fits(loader.examples, mesh.local_mesh.devices.flat[0])
        )
    )
    on_device = processes.from_first(on_device)  # others may have more memory
    split = whole(loader.examples, mesh) if on_device else None
    return Feed(loader, train, mesh, trainer.prepare, split)


def fits(examples: Examples, device: jax.Device) -> bool:
    """Whether a split leaves a device enough memory for the training."""
    size = sum(array.nbytes for array in examples.arrays().values())
    return size <= SHARE * memory_of(device)


def memory_of(device: jax.Device) -> int:
    """Bytes of a device's memory, or of the machine's if the device has none."""
    stats = device.memory_stats()
    if stats is not None:
        return stats["bytes_limit"]
    return memory.of_host()


def whole(examples: Examples, mesh: jax.sharding.Mesh) -> Batch:
    """All rows as one batch, on every device."""
    rows = as_batch(examples, lambda array: array)
    place = replicated_sharding(mesh)
    return put(rows, jax.tree.map(lambda array: place, rows))


def next_save(step: int, train: Train) -> float:
    """The step after this one at which a checkpoint within the epoch is due."""
    every = train.checkpoint_every
    return (step // every + 1) * every if every else math.inf


def ahead(items: Iterator[Any]) -> Iterator[Any]:
    """The same items; a thread makes the next one while one is in use."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
