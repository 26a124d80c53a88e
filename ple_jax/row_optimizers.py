"""Sparse updates of embedding tables: a step costs the rows that its batch touches.

Each optimizer is a pair of pure functions, in Optax's manner. Where every row is
touched they take the same step as Optax on the whole table; SGD and Adagrad always do,
since a row without gradient does not move there either. Weight decay is decoupled, and
of the touched rows only.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ple_jax.config import Train
from ple_jax.layers import touched
from ple_jax.layers.tables import Tables, take
from ple_jax.optimizers import is_moved
from ple_jax.traced import is_off
from ple_jax.types import Batch, PyTree

ADAGRAD_START, ADAGRAD_EPS = 0.1, 1e-7  # those of optax.scale_by_rss
ADAM_MEAN, ADAM_SQUARE, ADAM_EPS = 0.9, 0.999, 1e-8  # those of optax.scale_by_adam

# On CPU an id that is looked up costs, by rows, what so many rows and so many floats of
# a table cost that is updated whole: measured by `benchmarks/vocabulary.py --auto`.
AUTO_ROWS_AN_ID, AUTO_FLOATS_AN_ID = 3, 40
AUTO_ROWS_ELSEWHERE = 10_000_000  # bound by memory: not measured yet


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


@dataclasses.dataclass(frozen=True, eq=False)
class RowUpdates:
    """The tables of a trainer that are updated by rows, each with its optimizer.

    In what a step differentiates, such a table is replaced by a change (U, W) of the
    rows that the batch touches: so gradients come summed per row, and the global norm
    and weightings that compare gradients see these rows. The norm is that of the whole
    table's gradient, which is zero elsewhere.
    """

    tables: Tables
    optimizers: Mapping[str, RowOptimizer]
    learning_rate: optax.Schedule

    def init(self, tables: Mapping[str, jax.Array]) -> dict[str, PyTree]:
        """The state of each optimizer."""
        return {name: rule.init(tables[name]) for name, rule in self.optimizers.items()}

    def found(self, batch: Batch, on_host: bool = False) -> Batch:
        """The batch with the rows that it touches, unless they are there already."""
        find, xp = (touched.on_host, np) if on_host else (touched.on_device, jnp)
        rows = {
            name: find(
                self.tables.rows_or_end(batch, name, xp), self.tables.offsets[name][""]
            )
            for name in self.optimizers
            if name not in batch.touched
        }
        return batch.replace(touched={**batch.touched, **rows})

    @property
    def on_host(self) -> bool:
        """Whether the host looks for the rows of a batch, where that is faster.

        On CPU that is some fifteen times as fast as the device's sort, and happens in
        the loader's thread. With several processes none has a whole batch.
        """
        alone = jax.process_count() == 1
        return bool(self.optimizers) and alone and jax.default_backend() == "cpu"

    def prepared(self, batches: Batch) -> Batch:
        """On the host: the batches, with their rows if these are found here."""
        return self.found(batches, on_host=True) if self.on_host else batches

    def looked_up(self, trained: PyTree, batch: Batch) -> tuple[PyTree, Batch]:
        """What a step differentiates, and the batch with what it reads of the tables.

        In the place of these tables stands a change of the touched rows, of zero. So
        the rows that the batch reads are gathered once, not in two steps.
        """
        tables, rows = dict(trained["tables"]), self.tables.rows(batch)
        touched = dict(batch.touched)
        for name in self.optimizers:
            found = take(tables[name], rows[name])
            touched[name] = touched[name].replace(found=found)
            shape = len(touched[name].rows), tables[name].shape[1]
            tables[name] = jnp.zeros(shape, tables[name].dtype)
        return {**trained, "tables": tables}, batch.replace(touched=touched)

    def dense(self, trained: PyTree) -> PyTree:
        """Without the tables that are updated by rows: Optax's part."""
        tables = {
            n: t for n, t in trained["tables"].items() if n not in self.optimizers
        }
        return {**trained, "tables": tables}

    def update(
        self,
        tables: Mapping[str, jax.Array],
        states: Mapping[str, PyTree],
        grads: Mapping[str, jax.Array],  # (U, W)
        batch: Batch,
        step: jax.Array,
    ) -> tuple[dict[str, jax.Array], dict[str, PyTree]]:
        """These tables and their states, one step on."""
        rows, rate = batch.touched, self.learning_rate(step)
        moved = {
            n: rule.update(tables[n], states[n], rows[n].rows, grads[n], rate, step)
            for n, rule in self.optimizers.items()
        }
        return {n: m[0] for n, m in moved.items()}, {n: m[1] for n, m in moved.items()}


def row_updates(
    tables: Tables, train: Train, learning_rate: optax.Schedule
) -> RowUpdates:
    """Chooses the tables that are updated by rows, and their optimizers.

    Raises:
        ValueError: Updates by rows and a moving average are both asked for.
    """
    inputs = tables.inputs
    if inputs.update == "rows" and not is_off(train.average_decay):
        raise ValueError(
            "A moving average (train.average_decay) walks over whole tables at each "
            "step, so inputs.update cannot be 'rows' with it; use 'auto' or 'dense'."
        )
    same = inputs.row_optimizer == "same"
    rule = RULES[train.optimizer if same else inputs.row_optimizer]
    optimizers = {}
    for name, (_, is_frozen) in tables.fused.items():
        if is_frozen or by_rows(tables, name, train):
            rests = is_frozen or not is_moved(("tables", name), train.only)
            optimizers[name] = frozen() if rests else rule(train.weight_decay)
    return RowUpdates(tables, optimizers, learning_rate)


def by_rows(tables: Tables, name: str, train: Train) -> bool:
    """Whether a fused table is updated by rows."""
    if tables.inputs.update != "auto":
        return tables.inputs.update == "rows"
    width, _ = tables.fused[name]
    least = auto_rows(train.batch_size * tables.lookups(name), width)
    return tables.offsets[name][""] >= least and is_off(train.average_decay)


def auto_rows(ids: int, width: int) -> int:
    """From how many rows on updating by rows is the faster, with so many ids a batch.

    3 ids + 40 ids / W   on CPU
    """
    if jax.default_backend() != "cpu":
        return AUTO_ROWS_ELSEWHERE
    return AUTO_ROWS_AN_ID * ids + AUTO_FLOATS_AN_ID * ids // width
