"""Ways to combine task losses into one. Each weighting is a file, named by it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ple_jax import checks, plugins
from ple_jax.types import PyTree

available = partial(plugins.available, __name__)


class Clock(NamedTuple):
    """The number of the current step and epoch, both from 0."""

    step: jax.Array  # () int32
    epoch: jax.Array  # () int32


class Weighting(NamedTuple):
    """Combines task losses into one scalar, or the gradients of tasks into one.

    Attributes:
        init: Maps the number of tasks to (params, memory). The optimizer trains
            `params` along with the model; steps pass `memory` on.
        combine: Maps (params, memory, losses (T,), clock) to (loss, memory).
        merge: For methods that need each task's own gradient: maps (memory, losses
            (T,), gradients with a leading axis T on every leaf) to (gradients, memory).
            If set, the step computes these gradients and does not call `combine`.
    """

    init: Callable[[int], tuple[PyTree, PyTree]]
    combine: Callable[[PyTree, PyTree, jax.Array, Clock], tuple[jax.Array, PyTree]]
    merge: Callable[[PyTree, jax.Array, PyTree], tuple[PyTree, PyTree]] | None = None


def per_task(values: tuple[float, ...], num_tasks: int, what: str) -> jax.Array:  # (T,)
    """One value per task; without values, ones.

    Raises:
        ValueError: The number of values is not that of the tasks.
    """
    if values and len(values) != num_tasks:
        raise ValueError(
            f"weighting.{what} needs one value for each of the {num_tasks} tasks, got "
            f"{len(values)}: {list(values)}."
        )
    return jnp.array(values or (1.0,) * num_tasks, jnp.float32)


def check_weights(**values: tuple[float, ...]) -> None:
    """Raises a ValueError for a weight below 0, or if all weights are 0.

    Example:
        >>> check_weights(weights=(1.0, -1.0))
        Traceback (most recent call last):
        ValueError: weighting.weights[1] must be at least 0, got -1.0.
    """
    for what, each in values.items():
        named = {f"{what}[{i}]": weight for i, weight in enumerate(each)}
        checks.at_least(0, "weighting", **named)
        if each and all(map(checks.is_off, each)):
            raise ValueError(
                f"weighting.{what} must have a value above 0, got {list(each)}, "
                "which trains no task."
            )


def build(kind: str, **options: Any) -> Weighting:
    """Builds the weighting `kind`; a dotted kind names a module that was allowed.

    Raises:
        ValueError: The kind or an option is unknown; names the nearest.

    Example:
        >>> import jax.numpy as jnp
        >>> weighting = build("fixed", weights=(1.0, 0.5))
        >>> params, memory = weighting.init(2)
        >>> clock = Clock(jnp.array(0), jnp.array(0))
        >>> loss, _ = weighting.combine(params, memory, jnp.array([0.2, 0.4]), clock)
        >>> print(loss)
        0.4
    """
    make = plugins.find(__name__, kind).build
    known = plugins.options_of(make)
    for option in options:
        checks.check_known(option, known, f"option of weighting {kind!r}")
    return make(**options)
