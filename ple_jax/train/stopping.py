"""Signals that ask training to stop, where its place can be saved."""

import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.parallel import mesh, processes

RUN_AHEAD = 2  # dispatches that may wait for the device


class Stopped(Exception):
    """A signal asked training to stop; its last checkpoint holds the exact place."""


class Asked(list[int]):
    """Signals that came; with several processes, once all of them know.

    Each process then says after each dispatch whether a signal came to it, by a small
    collective whose result is read when a later dispatch is on its way: nothing waits,
    and all stop after the same step.
    """

    def __init__(self) -> None:
        self._own: list[int] = []
        self._votes: deque[jax.Array] = deque()

    def note(self, number: int) -> None:
        """Notes a signal that came to this process."""
        (self._own if processes.several() else self).append(number)

    def agree(self, devices: jax.sharding.Mesh) -> None:
        """Tells the others; to be called by all processes after the same steps."""
        if not processes.several():
            return
        self._votes.append(_largest(self._own, devices))
        if len(self._votes) > RUN_AHEAD and (number := int(self._votes.popleft())):
            self.append(number)


def _largest(numbers: list[int], devices: jax.sharding.Mesh) -> jax.Array:
    """The largest number of any process."""
    mine = np.full(
        devices.local_mesh.shape[mesh.DATA], max(numbers, default=0), np.int32
    )
    votes = mesh.put_parts(mine, mesh.batch_shardings(devices, mine, steps=0))
    return jax.jit(jnp.max, out_shardings=mesh.replicated_sharding(devices))(votes)


def stop_if(asked: list[int]) -> None:
    """Raises `Stopped` if a signal came; the place is saved by now."""
    if asked:
        raise Stopped(signal.Signals(asked[0]).name)


@contextmanager
def stop_signals() -> Iterator[Asked]:
    """Collects SIGINT and SIGTERM instead of dying; a second one dies as usual."""
    asked = Asked()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {s: signal.getsignal(s) for s in signals}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number, frame):
        asked.note(number)
        restore()

    try:
        for number in signals:
            signal.signal(number, note)
    except ValueError:  # only the main thread may set handlers
        before = {}
    try:
        yield asked
    finally:
        restore()
