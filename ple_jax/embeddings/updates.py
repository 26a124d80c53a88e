"""Updates tables by rows within a step."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ple_jax.checks import is_off
from ple_jax.config.experiment import Train
from ple_jax.embeddings import sparsecore, touched_rows
from ple_jax.embeddings.choose import is_updated_by_rows
from ple_jax.embeddings.tables import Tables
from ple_jax.optim.dense import is_moved
from ple_jax.optim.rows import RowOptimizer, frozen, rest
from ple_jax.optim.rules import RULES
from ple_jax.types import Batch, PyTree, Touched


@dataclasses.dataclass(frozen=True, eq=False)
class RowUpdates:
    """The tables of a trainer that are updated by rows, each with its optimizer.

    A step does not differentiate such a table (V, W) but a delta (U, W) of the rows
    that the batch touches. Gradients are then summed per row, and the global norm and
    the weightings that compare gradients see them. The norm is still that of the whole
    table's gradient, which is zero elsewhere.

    Where devices exchange rows, each has a delta for its slice of the batch: (D, U, W)
    of all. Their squares are not those of the table's gradient: `gram` gives these.
    """

    tables: Tables
    optimizers: Mapping[str, RowOptimizer]
    learning_rate: optax.Schedule

    def init(self, tables: Mapping[str, jax.Array]) -> dict[str, PyTree]:
        """The initial state of each optimizer."""
        return {name: rule.init(tables[name]) for name, rule in self.optimizers.items()}

    def with_touched_rows(self, batch: Batch, on_host: bool = False) -> Batch:
        """Adds the rows that the batch touches, for the tables that lack them."""
        found = dict(batch.touched)
        for name in self.optimizers:
            if name not in found:
                found[name] = self._find(batch, name, on_host)
            if name in self.tables.exchanged and not on_host:
                found[name] = self.tables.exchange(name).with_part(found[name])
        return batch.replace(touched=found)

    def _find(self, batch: Batch, name: str, on_host: bool) -> Touched:
        tables = self.tables
        rows = tables.rows_or_end(batch, name, np if on_host else jnp)
        if name in tables.exchanged:
            exchange = tables.exchange(name)
            return (exchange.find_on_host if on_host else exchange.find)(rows)
        find = touched_rows.find_on_host if on_host else touched_rows.find_on_device
        return find(rows, tables.end(name))

    def shares(self, batches: Batch) -> dict[str, float]:
        """Table -> the room that an exchange of its rows needs (`Exchange.share`)."""
        empty = dict.fromkeys(self.optimizers, 1.0)
        tables = dataclasses.replace(self.tables, exchanged=empty)
        of = dataclasses.replace(self, tables=tables)
        found = of.with_touched_rows(batches, on_host=True).touched
        return {
            name: tables.exchange(name).share_for(found[name].rows) for name in empty
        }

    @property
    def finds_on_host(self) -> bool:
        """Whether `prepare_on_host` finds the touched rows, where that is faster.

        On CPU the host is some fifteen times as fast as the device's sort, and does it
        in the loader's thread. With several processes none has a whole batch, but each
        its slices.
        """
        sees = jax.process_count() == 1 or self.exchanges
        is_cpu = jax.default_backend() == "cpu"
        return bool(self.optimizers) and ((is_cpu and sees) or self.by_cores)

    @property
    def exchanges(self) -> bool:
        """Whether devices exchange rows."""
        return bool(self.tables.exchanged)

    @property
    def by_cores(self) -> bool:
        """Whether SparseCores do, for which the host sorts rows."""
        return self.exchanges and self.tables.inputs.exchange == "sparsecore"

    def overflows(self, batch: Batch) -> jax.Array:  # () int32
        """How many tables of a batch need more than one round of exchanges."""
        each = [
            self.tables.exchange(name).overflows(batch.touched[name])
            for name in self.tables.exchanged
        ]
        return sum(each, jnp.int32(0))

    def prepare_on_host(self, batches: Batch) -> Batch:
        """Adds the touched rows to the batches if the host is to find them."""
        if not self.finds_on_host:
            return batches
        return self.with_touched_rows(batches, on_host=True)

    def with_row_deltas(self, trained: PyTree, batch: Batch) -> tuple[PyTree, Batch]:
        """Replaces each of these tables by a delta of zeros to differentiate.

        The batch gets the embedded rows, so that they are gathered once: here, and not
        again in `Tables.lookup`.
        """
        tables, touched = dict(trained["tables"]), dict(batch.touched)
        for name in self.optimizers:
            embedded = self.tables.read(name, tables[name], batch)
            touched[name] = touched[name].replace(embedded=embedded)
            shape = *touched[name].rows.shape, tables[name].shape[1]
            tables[name] = jnp.zeros(shape, tables[name].dtype)
        return {**trained, "tables": tables}, batch.replace(touched=touched)

    def dense_part(self, trained: PyTree) -> PyTree:
        """What Optax updates: all but the tables that are updated by rows."""
        tables = {
            n: t for n, t in trained["tables"].items() if n not in self.optimizers
        }
        return {**trained, "tables": tables}

    def update(
        self,
        tables: Mapping[str, jax.Array],
        states: Mapping[str, PyTree],
        grads: Mapping[str, jax.Array],  # (U, W), or (D, U, W)
        batch: Batch,
        step: jax.Array,
    ) -> tuple[dict[str, jax.Array], dict[str, PyTree]]:
        """The tables that are updated by rows, and their states, after one step."""
        moved, rate = {}, self.learning_rate(step)
        for n, rule in self.optimizers.items():
            touched, now = batch.touched[n], (grads[n], rate, step)
            if n in self.tables.exchanged and rule.update is not rest:
                move = partial(self.tables.exchange(n).update, rule.update)
                moved[n] = move(tables[n], states[n], touched, *now)
            else:
                moved[n] = rule.update(tables[n], states[n], touched.rows, *now)
        return {n: m[0] for n, m in moved.items()}, {n: m[1] for n, m in moved.items()}

    def grams(self, batch: Batch) -> dict[str, Callable[[jax.Array], jax.Array]]:
        """Exchanged table -> the Gram matrix (T, T) of its gradients (T, D, U, W)."""
        return {
            name: partial(self.tables.exchange(name).gram, batch.touched[name])
            for name in self.tables.exchanged
        }


def row_updates(
    tables: Tables, train: Train, learning_rate: optax.Schedule
) -> RowUpdates:
    """Chooses which tables are updated by rows, and with which optimizer.

    The optimizer of a frozen table leaves it as it is.

    Raises:
        ValueError: `inputs.update` is `rows`, and a moving average is on too.
    """
    inputs = tables.inputs
    if inputs.update == "rows" and not is_off(train.average_decay):
        raise ValueError(
            "inputs.update must be 'auto' or 'dense' with a moving average "
            "(train.average_decay), which reads whole tables at each step, got 'rows'."
        )
    if tables.exchanged and inputs.exchange == "sparsecore":
        sparsecore.check(tables, train)
    same = inputs.row_optimizer == "same"
    rule = RULES[train.optimizer if same else inputs.row_optimizer].rows
    optimizers = {}
    for name, (_, is_frozen) in tables.fused.items():
        if is_updated_by_rows(tables, name, train):
            rests = is_frozen or not is_moved(("tables", name), train.only)
            optimizers[name] = frozen() if rests else rule(train.weight_decay)
    return RowUpdates(tables, optimizers, learning_rate)
