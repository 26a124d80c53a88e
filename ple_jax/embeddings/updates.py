"""Tables that are updated by rows, within a step."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ple_jax.checks import is_off
from ple_jax.config.experiment import Train
from ple_jax.embeddings import touched_rows
from ple_jax.embeddings.choose import by_rows
from ple_jax.embeddings.tables import Tables, take
from ple_jax.optim.dense import is_moved
from ple_jax.optim.rows import RULES, RowOptimizer, frozen
from ple_jax.types import Batch, PyTree


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
        find, xp = (
            (touched_rows.on_host, np) if on_host else (touched_rows.on_device, jnp)
        )
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
