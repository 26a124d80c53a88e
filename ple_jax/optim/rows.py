"""Sparse updates of embedding tables: a step costs the rows that its batch touches.

Each optimizer is a pair of pure functions, in Optax's manner. Where every row is
touched they take the same step as Optax on the whole table; SGD and Adagrad always do,
since a row without gradient does not move there either. Weight decay is decoupled, and
of the touched rows only.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ple_jax.checks import is_off
from ple_jax.types import PyTree

ADAGRAD_START, ADAGRAD_EPS = 0.1, 1e-7  # those of optax.scale_by_rss
ADAM_MEAN, ADAM_SQUARE, ADAM_EPS = 0.9, 0.999, 1e-8  # those of optax.scale_by_adam


class RowOptimizer(NamedTuple):
    """An update rule for the rows that a batch touches.

    Attributes:
        init: Maps a table (V, W) to its state.
        update: Maps (table, state, rows, gradients, learning rate, step) to (table,
            state). Rows (U,) are ascending, each of them once, filled up with V, which
            is out of range and dropped; gradients (U, W) are the sums over the batch
            per row; steps count from 0.
    """

    init: Callable[[jax.Array], PyTree]
    update: Callable[..., tuple[jax.Array, PyTree]]


def sgd(weight_decay: float = 0.0) -> RowOptimizer:
    """w <- w - rate (g + decay w)."""

    def update(table, state, rows, grads, rate, step):
        return _moved(table, rows, grads, rate, weight_decay), state

    return RowOptimizer(lambda table: (), update)


def adagrad(weight_decay: float = 0.0) -> RowOptimizer:
    """s <- s + g^2;  w <- w - rate (g / sqrt(s + eps) + decay w); Duchi et al. 2011."""

    def update(table, state, rows, grads, rate, step):
        squares = _at(state, rows) + grads**2
        direction = jax.lax.rsqrt(squares + ADAGRAD_EPS) * grads
        table = _moved(table, rows, direction, rate, weight_decay)
        return table, _put(state, rows, squares)

    return RowOptimizer(lambda table: jnp.full_like(table, ADAGRAD_START), update)


def rowwise_adagrad(weight_decay: float = 0.0) -> RowOptimizer:
    """Adagrad with one sum a row, of the mean of its squared gradients: s (V,).

    s <- s + mean(g^2);  w <- w - rate (g / sqrt(s + eps) + decay w), as in FBGEMM's
    EXACT_ROWWISE_ADAGRAD: the state is 1/W of the table's size.
    """

    def init(table):
        return jnp.full(table.shape[0], ADAGRAD_START, table.dtype)

    def update(table, state, rows, grads, rate, step):
        squares = _at(state, rows) + (grads**2).mean(axis=1)
        direction = jax.lax.rsqrt(squares + ADAGRAD_EPS)[:, None] * grads
        table = _moved(table, rows, direction, rate, weight_decay)
        return table, _put(state, rows, squares)

    return RowOptimizer(init, update)


def adam(weight_decay: float = 0.0) -> RowOptimizer:
    """Lazy Adam: the moments of a row rest while no batch touches it.

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  with t counting all steps,
    w <- w - rate ((m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) + decay w), as
    torch's SparseAdam but for the place of eps. Dense Adam goes on moving a row after
    its last batch.
    """
    unbiased = optax.tree_utils.tree_bias_correction

    def update(table, state, rows, grads, rate, step):
        mean, square = (_at(moment, rows) for moment in state)
        mean = (1 - ADAM_MEAN) * grads + ADAM_MEAN * mean
        square = (1 - ADAM_SQUARE) * grads**2 + ADAM_SQUARE * square
        scale = jnp.sqrt(unbiased(square, ADAM_SQUARE, step + 1)) + ADAM_EPS
        direction = unbiased(mean, ADAM_MEAN, step + 1) / scale
        table = _moved(table, rows, direction, rate, weight_decay)
        return table, (_put(state[0], rows, mean), _put(state[1], rows, square))

    return RowOptimizer(lambda t: (jnp.zeros_like(t), jnp.zeros_like(t)), update)


def frozen() -> RowOptimizer:
    """No update."""
    return RowOptimizer(
        lambda table: (), lambda table, state, *of_batch: (table, state)
    )


def _moved(table, rows, direction, rate, weight_decay):
    """The rows moved against `direction`, with decoupled weight decay."""
    if not is_off(weight_decay):
        direction = direction + weight_decay * _at(table, rows)
    return table.at[rows].add(-rate * direction, mode="drop", indices_are_sorted=True)


def _at(array, rows):
    """These rows; zero for those that fill up."""
    return array.at[rows].get(mode="fill", fill_value=0, indices_are_sorted=True)


def _put(array, rows, values):
    return array.at[rows].set(values, mode="drop", indices_are_sorted=True)


RULES = {
    "sgd": sgd,
    "adagrad": adagrad,
    "rowwise_adagrad": rowwise_adagrad,
    "adam": adam,
}
