"""Ways to combine task losses into one. Each weighting is a file, named by it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ple_jax import checks, plugins
from ple_jax.types import PyTree

available = partial(plugins.available, __name__)


class Now(NamedTuple):
    """What a step knows besides its losses."""

    step: jax.Array  # () int32, from 0
    epoch: jax.Array  # () int32, from 0
    key: jax.Array  # random key of this step, for the weighting alone
    seen: jax.Array  # (T,) bool, whether the batch has labels of the task


def total(
    params: PyTree, memory: PyTree, losses: jax.Array, now: Now
) -> tuple[jax.Array, PyTree]:
    """L = sum_k L_k."""
    return jnp.sum(losses), memory


class Weighting(NamedTuple):
    """Combines task losses into one scalar, or the gradients of tasks into one.

    The loss of a task without a label in the batch is 0, and so is its gradient: `Now`
    says which these are, so that they weigh nothing against the others.

    Attributes:
        init: Maps the number of tasks to (params, memory). The optimizer trains
            `params` along with the model; steps pass `memory` on.
        combine: Maps (params, memory, losses (T,), now) to (loss, memory).
        weigh: For methods that compare the tasks' gradients: maps (memory, losses (T,),
            gram (T, T), now) to (weights (T,), memory). The Gram matrix has the inner
            products of the tasks' gradients of the parameters that tasks share (see
            `train/sharing.py`). Shared parameters move by the weighted sum of these
            gradients; private ones by their own task's gradient as it is. If set, the
            step computes all this and does not call `combine`.
        merge: For all other uses of each task's own gradient: maps (memory, losses
            (T,), gradients with a leading axis T on every leaf) to (gradients, memory).
            If set, the step calls neither of the two above.
        look_back: Maps (memory, losses (T,), now) to memory: the losses of the same
            batch once more, after the parameters have moved. Costs a forward pass.
        tables: Whether rows of tables are shared parameters for `weigh`; if not, they
            move by the plain sum of the tasks' gradients.
        everywhere: Whether the weights of `weigh` are for private parameters too.
        by_array: Whether `weigh` is called for each array of parameters alone; its
            memory has one more, leading axis then.
    """

    init: Callable[[int], tuple[PyTree, PyTree]]
    combine: Callable[[PyTree, PyTree, jax.Array, Now], tuple[jax.Array, PyTree]] = (
        total
    )
    merge: Callable[[PyTree, jax.Array, PyTree], tuple[PyTree, PyTree]] | None = None
    weigh: (
        Callable[[PyTree, jax.Array, jax.Array, Now], tuple[jax.Array, PyTree]] | None
    ) = None
    look_back: Callable[[PyTree, jax.Array, Now], PyTree] | None = None
    tables: bool = True
    everywhere: bool = False
    by_array: bool = False


def softmax(logits: jax.Array, seen: jax.Array) -> jax.Array:  # (T,)
    """The softmax over tasks that are seen; 0 for the others, also if none is.

    Example:
        >>> print(softmax(jnp.zeros(3), jnp.array([True, False, True])))
        [0.5 0.  0.5]
    """
    return seen * jax.nn.softmax(jnp.where(seen, logits, -1e30))


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
        >>> now = Now(0, 0, jax.random.key(0), jnp.array([True, True]))
        >>> loss, _ = weighting.combine(params, memory, jnp.array([0.2, 0.4]), now)
        >>> print(loss)
        0.4
    """
    make = plugins.find(__name__, kind).build
    known = plugins.options_of(make)
    for option in options:
        checks.check_known(option, known, f"option of weighting {kind!r}")
    return make(**options)
