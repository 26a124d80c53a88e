"""How task losses become one; one weighting per file, the file name is its name."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ple_jax import checks, plugins
from ple_jax.types import PyTree

available = partial(plugins.available, __name__)


class Clock(NamedTuple):
    """When a step is taken; both count from 0."""

    step: jax.Array  # () int32
    epoch: jax.Array  # () int32


class Weighting(NamedTuple):
    """Turns the task losses into the one scalar that is differentiated.

    Attributes:
        init: Maps the number of tasks to (params, memory). The optimizer trains
            `params` along with the model; `memory` is carried from step to step.
        combine: Maps (params, memory, losses (T,), clock) to (loss, memory).
        merge: For methods that look at each task's own gradient: maps (memory, losses
            (T,), gradients with a leading axis T on every leaf) to (gradients, memory).
            Where it is given the step computes these, and `combine` is not called.
    """

    init: Callable[[int], tuple[PyTree, PyTree]]
    combine: Callable[[PyTree, PyTree, jax.Array, Clock], tuple[jax.Array, PyTree]]
    merge: Callable[[PyTree, jax.Array, PyTree], tuple[PyTree, PyTree]] | None = None


def per_task(values: tuple[float, ...], num_tasks: int, what: str) -> jax.Array:  # (T,)
    """One value a task; none given means ones.

    Raises:
        ValueError: There are more or fewer values than tasks.
    """
    if values and len(values) != num_tasks:
        raise ValueError(
            f"weighting.{what} needs one value for each of the {num_tasks} tasks, "
            f"got {list(values)}."
        )
    return jnp.array(values or (1.0,) * num_tasks, jnp.float32)


def build(kind: str, **options: Any) -> Weighting:
    """The weighting `kind` with these options; a dotted kind names a module elsewhere.

    Raises:
        ValueError: An unknown kind or option; the message names the nearest.
    """
    make = plugins.find(__name__, kind).build
    known = plugins.options_of(make)
    for option in options:
        checks.check_known(option, known, f"option of weighting {kind!r}")
    return make(**options)
