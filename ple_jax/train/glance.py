"""What a person sees of an epoch while it lasts: the loss so far, and the speed."""

import time
from typing import Any

import jax
import jax.numpy as jnp

from ple_jax.metrics.streaming import Stream

SECONDS = 2.0  # between looks at the device


class Glance:
    """Tells of an epoch without ever waiting for the device.

    It asks for the loss now and then, and shows it once the device has it.
    """

    def __init__(self, examples: int):
        """Of steps with this many examples."""
        self._examples, self._steps = examples, 0
        self._began: float | None = None
        self._looked = time.monotonic()
        self._asked: Any = None  # a `jax.Array` on its way
        self._loss: float | None = None

    def text(self, stream: Stream, steps: int) -> str:
        """Loss and examples a second, after so many more steps; "" at first."""
        now = time.monotonic()
        if self._began is None:  # the first steps may have been compiled first
            self._began, steps = now, 0
        self._steps += steps
        if self._asked is not None and self._asked.is_ready():
            self._loss, self._asked = float(self._asked), None
        if self._asked is None and now - self._looked >= SECONDS:
            self._looked, self._asked = now, mean_loss(stream.sums.addressable_data(0))
        if self._loss is None or now == self._began:
            return ""
        speed = self._steps * self._examples / (now - self._began)
        return f"loss {self._loss:.4f}  {speed:,.0f} examples/s"


@jax.jit
def mean_loss(sums: jax.Array) -> jax.Array:  # (N, T, 4), or (R, N, T, 4) of R trials
    """The sum over tasks of their mean losses so far; the mean over trials."""
    weight, loss, *_ = jnp.moveaxis(sums.sum(axis=-3), -1, 0)  # (..., T)
    each = jnp.where(weight > 0, loss / jnp.where(weight > 0, weight, 1), 0)
    return each.sum(axis=-1).mean()
