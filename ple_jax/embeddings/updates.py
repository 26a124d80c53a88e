"""Updates tables by rows within a step."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ple_jax.checks import is_off
from ple_jax.config.experiment import Train
from ple_jax.embeddings import touched_rows
from ple_jax.embeddings.choose import is_updated_by_rows
from ple_jax.embeddings.tables import Tables
from ple_jax.optim.dense import is_moved
from ple_jax.optim.rows import RowOptimizer, frozen
from ple_jax.optim.rules import RULES
from ple_jax.types import Batch, PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class RowUpdates:
    """The tables of a trainer that are updated by rows, each with its optimizer.

    A step does not differentiate such a table (V, W) but a delta (U, W) of the rows
    that the batch touches. Gradients are then summed per row, and the global norm and
    the weightings that compare gradients see them. The norm is still that of the whole
    table's gradient, which is zero elsewhere.
    """

    tables: Tables
    optimizers: Mapping[str, RowOptimizer]
    learning_rate: optax.Schedule

    def init(self, tables: Mapping[str, jax.Array]) -> dict[str, PyTree]:
        """The initial state of each optimizer."""
        return {name: rule.init(tables[name]) for name, rule in self.optimizers.items()}

    def with_touched_rows(self, batch: Batch, on_host: bool = False) -> Batch:
        """Adds the rows that the batch touches, for the tables that lack them."""
        on_device = touched_rows.find_on_device, jnp
        find, xp = (touched_rows.find_on_host, np) if on_host else on_device
        rows = {
            name: find(
                self.tables.rows_or_end(batch, name, xp), self.tables.offsets[name][""]
            )
            for name in self.optimizers
            if name not in batch.touched
        }
        return batch.replace(touched={**batch.touched, **rows})

    @property
    def finds_on_host(self) -> bool:
        """Whether `prepare_on_host` finds the touched rows, where that is faster.

        On CPU the host is some fifteen times as fast as the device's sort, and does it
        in the loader's thread. With several processes, none has a whole batch.
        """
        alone = jax.process_count() == 1
        return bool(self.optimizers) and alone and jax.default_backend() == "cpu"

    def prepare_on_host(self, batches: Batch) -> Batch:
        """Adds the touched rows to the batches if the host is to find them."""
        if not self.finds_on_host:
            return batches
        return self.with_touched_rows(batches, on_host=True)

    def with_row_deltas(self, trained: PyTree, batch: Batch) -> tuple[PyTree, Batch]:
        """Replaces each of these tables by a delta (U, W) of zeros to differentiate.

        The batch gets the embedded rows, so that they are gathered once: here, and not
        again in `Tables.lookup`.
        """
        tables, touched = dict(trained["tables"]), dict(batch.touched)
        for name in self.optimizers:
            embedded = self.tables.read(name, tables[name], batch)
            touched[name] = touched[name].replace(embedded=embedded)
            shape = len(touched[name].rows), tables[name].shape[1]
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
        grads: Mapping[str, jax.Array],  # (U, W)
        batch: Batch,
        step: jax.Array,
    ) -> tuple[dict[str, jax.Array], dict[str, PyTree]]:
        """The tables that are updated by rows, and their states, after one step."""
        rows, rate = batch.touched, self.learning_rate(step)
        moved = {
            n: rule.update(tables[n], states[n], rows[n].rows, grads[n], rate, step)
            for n, rule in self.optimizers.items()
        }
        return {n: m[0] for n, m in moved.items()}, {n: m[1] for n, m in moved.items()}


def row_updates(
    tables: Tables, train: Train, learning_rate: optax.Schedule
) -> RowUpdates:
    """Chooses which tables are updated by rows, and with which optimizer.

    A frozen table always is: its optimizer leaves it as it is, at no cost.

    Raises:
        ValueError: `inputs.update` is `rows`, and a moving average is on too.
    """
    inputs = tables.inputs
    if inputs.update == "rows" and not is_off(train.average_decay):
        raise ValueError(
            "inputs.update must be 'auto' or 'dense' with a moving average "
            "(train.average_decay), which reads whole tables at each step, got 'rows'."
        )
    same = inputs.row_optimizer == "same"
    rule = RULES[train.optimizer if same else inputs.row_optimizer].rows
    optimizers = {}
    for name, (_, is_frozen) in tables.fused.items():
        if is_frozen or is_updated_by_rows(tables, name, train):
            rests = is_frozen or not is_moved(("tables", name), train.only)
            optimizers[name] = frozen() if rests else rule(train.weight_decay)
    return RowUpdates(tables, optimizers, learning_rate)
