"""Sparse updates of embedding tables: a step costs the rows that its batch touches.

Each optimizer is a pair of pure functions, in Optax's manner. If every row is touched,
they take the same step as Optax on the whole table. SGD and Adagrad always do: a row
without gradient does not move there either. Weight decay is decoupled and applies to
the touched rows only.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from ple_jax.checks import is_off
from ple_jax.types import Array, PyTree

ADAGRAD_START, ADAGRAD_EPS = 0.1, 1e-7  # those of optax.scale_by_rss
ADAM_MEAN, ADAM_SQUARE, ADAM_EPS = 0.9, 0.999, 1e-8  # those of optax.scale_by_adam

# The means of g and of g^2 for each row, both (V, W). A plain pair: Orbax names the
# fields of a NamedTuple, and would no longer find them in older checkpoints.
AdamMoments = tuple[jax.Array, jax.Array]


class RowUpdate(Protocol):
    """Moves the rows that a batch touches."""

    def __call__(
        self,
        table: jax.Array,  # (V, W)
        state: PyTree,
        rows: Array | None,  # (U,) int32
        grads: jax.Array,  # (U, W)
        rate: ArrayLike,
        step: ArrayLike,
        /,
    ) -> tuple[jax.Array, PyTree]:
        """The new table and state.

        Args:
            table: The whole table.
            state: What `RowOptimizer.init` or the last update returned.
            rows: Distinct and ascending, padded with V, which is out of range and
                therefore dropped. None for all rows of the table.
            grads: The gradient of each row, summed over the batch.
            rate: Learning rate of this step.
            step: Number of this step, from 0.
        """
        ...


class RowOptimizer(NamedTuple):
    """An update rule for the rows that a batch touches.

    Attributes:
        init: Maps a table (V, W) to its state.
        update: Moves the rows of one batch.
    """

    init: Callable[[jax.Array], PyTree]
    update: RowUpdate


def sgd(weight_decay: float = 0.0) -> RowOptimizer:
    """w <- w - rate (g + decay w)."""

    def update(table, state, rows, grads, rate, step):
        return _descend(table, rows, grads, rate, weight_decay), state

    return RowOptimizer(lambda table: (), update)


def adagrad(weight_decay: float = 0.0) -> RowOptimizer:
    """s <- s + g^2;  w <- w - rate (g / sqrt(s + eps) + decay w); Duchi et al. 2011."""

    def update(table, state, rows, grads, rate, step):
        squares = _get(state, rows) + grads**2
        direction = jax.lax.rsqrt(squares + ADAGRAD_EPS) * grads
        table = _descend(table, rows, direction, rate, weight_decay)
        return table, _put(state, rows, squares)

    return RowOptimizer(lambda table: jnp.full_like(table, ADAGRAD_START), update)


def rowwise_adagrad(weight_decay: float = 0.0) -> RowOptimizer:
    """Adagrad with one sum a row, of the mean of its squared gradients: s (V,).

        s <- s + mean(g^2);  w <- w - rate (g / sqrt(s + eps) + decay w)

    The state is 1/W of the table's size, as in FBGEMM's EXACT_ROWWISE_ADAGRAD.
    """

    def init(table):
        return jnp.full(table.shape[0], ADAGRAD_START, table.dtype)

    def update(table, state, rows, grads, rate, step):
        squares = _get(state, rows) + (grads**2).mean(axis=1)
        direction = jax.lax.rsqrt(squares + ADAGRAD_EPS)[:, None] * grads
        table = _descend(table, rows, direction, rate, weight_decay)
        return table, _put(state, rows, squares)

    return RowOptimizer(init, update)


def adam(weight_decay: float = 0.0) -> RowOptimizer:
    """Lazy Adam: the moments of a row rest while no batch touches it.

        m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
        w <- w - rate ((m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) + decay w)

    t counts all steps from 1. torch's SparseAdam differs only in where eps stands.
    Dense Adam keeps moving a row after its last batch; this one does not.
    """
    unbiased = optax.tree_utils.tree_bias_correction

    def init(table) -> AdamMoments:
        return jnp.zeros_like(table), jnp.zeros_like(table)

    def update(table, state: AdamMoments, rows, grads, rate, step):
        mean, square = (_get(moment, rows) for moment in state)
        mean = (1 - ADAM_MEAN) * grads + ADAM_MEAN * mean
        square = (1 - ADAM_SQUARE) * grads**2 + ADAM_SQUARE * square
        scale = jnp.sqrt(unbiased(square, ADAM_SQUARE, step + 1)) + ADAM_EPS
        direction = unbiased(mean, ADAM_MEAN, step + 1) / scale
        table = _descend(table, rows, direction, rate, weight_decay)
        return table, (_put(state[0], rows, mean), _put(state[1], rows, square))

    return RowOptimizer(init, update)


def frozen() -> RowOptimizer:
    """Leaves the table as it is."""
    return RowOptimizer(lambda table: (), rest)


def rest(table, state, rows, grads, rate, step):
    """The table and its state as they are."""
    return table, state


def _descend(table, rows, direction, rate, weight_decay):
    """Moves rows (U,) against `direction` (U, W), with decoupled weight decay."""
    if not is_off(weight_decay):
        direction = direction + weight_decay * _get(table, rows)
    if rows is None:
        return table - rate * direction
    return table.at[rows].add(-rate * direction, mode="drop", indices_are_sorted=True)


def _get(array, rows):  # (V, ...), (U,) -> (U, ...)
    """Reads rows; padding reads zero."""
    if rows is None:
        return array
    return array.at[rows].get(mode="fill", fill_value=0, indices_are_sorted=True)


def _put(array, rows, values):  # (V, ...), (U,), (U, ...) -> (V, ...)
    """Writes rows; padding writes nothing."""
    if rows is None:
        return values
    return array.at[rows].set(values, mode="drop", indices_are_sorted=True)
