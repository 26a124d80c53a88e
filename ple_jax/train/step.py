"""The step: one update of everything that is trained.

1. Look up the table rows that the batch touches.
2. Differentiate the weighted sum of the tasks' losses by the parameters and these rows.
3. Clip; move dense parameters by Optax and table rows by their row rules.
4. Pull the moving average towards the new parameters.
5. Add the batch to the epoch's metrics.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from ple_jax import links, losses
from ple_jax.checks import is_off
from ple_jax.config.experiment import Train
from ple_jax.embeddings.tables import Tables
from ple_jax.embeddings.updates import RowUpdates
from ple_jax.metrics import streaming
from ple_jax.optim.dense import check_only, clip
from ple_jax.parallel.mesh import in_place
from ple_jax.schema import Task
from ple_jax.train import gates, merging, one_domain, sharing
from ple_jax.train.parts import InParts
from ple_jax.train.state import TrainState, init_variables, moving_average
from ple_jax.types import Batch, Picks, PyTree
from ple_jax.weightings import Now, Weighting


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A step and its parts; its methods are pure functions of their arguments."""

    model: "nn.Module | InParts | one_domain.OfOneDomain"
    tables: Tables
    weighting: Weighting
    train: Train
    tx: optax.GradientTransformation
    rows: RowUpdates
    steps_per_epoch: int
    alone: "Step | None" = None  # the same, with a model of one domain

    def by_domain(self, model: nn.Module | InParts) -> "Step":
        """Moves one domain's private parameters a step, if the model allows it.

        It does not if its domains take part in each other's scores.
        """
        alone = dataclasses.replace(self, model=one_domain.OfOneDomain(model))
        share = lambda: one_domain.own(self.init(), 0)
        if not one_domain.alike(jax.eval_shape(share), jax.eval_shape(alone.init)):
            return self
        return dataclasses.replace(self, alone=alone)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in the order of the axis T."""
        return self.tables.layout.tasks

    def init(self) -> TrainState:
        """The state before the first step."""
        model_key, table_key, step_key = jax.random.split(
            jax.random.key(self.train.seed), 3
        )
        variables = init_variables(self.model, self.tables, model_key, table_key)
        params, memory = self.weighting.init(len(self.tasks))
        averaged = {"model": variables["model"], "tables": variables["tables"]}
        trained = averaged | {"weighting": params}
        if self.weighting.by_array:
            memory = merging.by_array(memory, trained)
        check_only(self.train.only, trained)
        off = is_off(self.train.average_decay)
        average = () if off else jax.tree.map(jnp.copy, averaged)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            trained=trained,
            average=average,
            batch_stats=variables["batch_stats"],
            opt_state=self.tx.init(self.rows.dense_part(trained)),
            row_state=self.rows.init(trained["tables"]),
            memory=memory,
            totals=jnp.zeros(len(self.tasks)) if self._has_totals else (),
            stream=streaming.init(len(self.tables.layout.domains), self.tasks),
            seed=jax.random.key_data(step_key),
        )

    def steps(
        self, state: TrainState, batches: Batch | Picks, count: int
    ) -> tuple[TrainState, jax.Array]:
        """Takes `count` steps, on the first of `batches`: one program for any count."""
        if self.rows.exchanges:
            state, done = self._exchanging_steps(state, batches, count)
        else:
            body = lambda i, state: self.step(state, batches.at(i))
            state = jax.lax.fori_loop(0, count, body, state)
            done = state.step
        return self._in_place(state), done

    def _exchanging_steps(self, state, batches, count):
        """`steps`; beside the state, how many exchanges took more than one round."""

        def body(i, carry):
            state, overflows = carry
            batch = self.rows.with_touched_rows(batches.at(i))
            return self.step(state, batch), overflows + self.rows.overflows(batch)

        return jax.lax.fori_loop(0, count, body, (state, jnp.int32(0)))

    def step(self, state: TrainState, batch: Batch) -> TrainState:
        """Updates everything that is trained, and the metrics of the epoch."""
        if self.alone is None:
            state, logits = self.update(state, batch)
        else:
            state, logits = self._update_of_one_domain(state, batch)
        stream = streaming.update(state.stream, logits, batch, self.tasks)
        return self._in_place(state.replace(stream=stream))

    def _in_place(self, state):
        return in_place(self.tables.mesh, state, self.tables.replicated)

    def _update_of_one_domain(self, state, batch):
        """Like `update`, on the share of the state that the batch's one domain has.

        Nothing private to other domains moves: neither parameters, nor their moving
        averages, nor the optimizer's moments ("lazy" moments).
        """
        number = batch.domain[0]
        share, logits = self.alone.update(one_domain.own(state, number), batch)
        return one_domain.put(state, share, number), logits

    def update(self, state: TrainState, batch: Batch) -> tuple[TrainState, jax.Array]:
        """Moves the state by one batch; also returns the batch's logits (B, T)."""
        key = jax.random.fold_in(jax.random.wrap_key_data(state.seed), state.step)
        batch = self.rows.with_touched_rows(batch)
        moving, batch = self.rows.with_row_deltas(state.trained, batch)
        totals = self.totals(state, batch)
        read = state.replace(trained=moving, totals=totals)
        grads, memory, (logits, batch_stats) = self.gradients(read, batch, key)
        trained, opt_state, row_state = self.optimized(state, grads, batch)
        state = state.replace(
            step=state.step + 1,
            trained=trained,
            average=moving_average(state, trained, self.train.average_decay),
            batch_stats=batch_stats,
            opt_state=opt_state,
            row_state=row_state,
            memory=memory,
            totals=totals,
        )
        return self.looked_back(state, batch, key), logits

    def looked_back(
        self, state: TrainState, batch: Batch, key: jax.Array
    ) -> TrainState:
        """The state, once its weighting has seen the batch's losses after the step."""
        if self.weighting.look_back is None:
            return state
        moved, batch = self.rows.with_row_deltas(state.trained, batch)
        (each, _), _ = self.losses(moved, state, batch, key)
        now = self.now(state, batch, key)
        return state.replace(memory=self.weighting.look_back(state.memory, each, now))

    def now(self, state: TrainState, batch: Batch, key: jax.Array) -> Now:
        """What the weighting is told of this step."""
        return merging.now_of(state, batch, key, self.tasks, self.steps_per_epoch)

    @property
    def _has_totals(self) -> bool:
        return self.train.normaliser == "running"

    def totals(self, state: TrainState, batch: Batch) -> PyTree:
        """The mean weight (T,) of each task in a batch, this one included; or ()."""
        if not self._has_totals:
            return ()
        now = merging.task_weights(batch, self.tasks)
        return state.totals + (now - state.totals) / (state.step + 1)

    def gradients(
        self, state: TrainState, batch: Batch, key: jax.Array
    ) -> tuple[PyTree, PyTree, tuple[jax.Array, PyTree]]:
        """Gradients of the weighted loss, the weighting's memory, and `losses`' aux."""
        if self.weighting.merge or self.weighting.weigh:
            return self._merged_gradients(state, batch, key)
        now = self.now(state, batch, key)

        def loss_of(trained):
            (each, penalties), aux = self.losses(trained, state, batch, key)
            loss, memory = self.weighting.combine(
                trained["weighting"], state.memory, each, now
            )
            return loss + sum(penalties), (memory, aux)

        grads, (memory, aux) = jax.grad(loss_of, has_aux=True)(state.trained)
        return grads, memory, aux

    def _merged_gradients(self, state, batch, key):
        """Like `gradients`, for a weighting that merges each task's own gradients."""
        each, stacked, of_penalties, aux = merging.task_gradients(
            lambda trained: self.losses(trained, state, batch, key), state.trained
        )
        now, shared = self.now(state, batch, key), lambda: self.shared(state)
        grads, memory = merging.merged(
            self.weighting,
            state.memory,
            each,
            stacked,
            shared,
            now,
            self.rows.grams(batch),
        )
        return jax.tree.map(jnp.add, grads, of_penalties), memory, aux

    def shared(self, state: TrainState) -> PyTree:
        """Which entries of what is trained the tasks share; see `sharing`."""
        return sharing.shared_entries(self.model, self.tables, state, self.train.only)

    def losses(
        self, trained: PyTree, state: TrainState, batch: Batch, key: jax.Array
    ) -> tuple[tuple[jax.Array, list[jax.Array]], tuple[jax.Array, PyTree]]:
        """Each task's loss (T,) in training, and the penalties that the model sows.

        The aux are logits (B, T), in units of the labels, and the new batch statistics.
        """
        x_key, model_key = jax.random.split(key)
        logits, updated = self.model.apply(
            {"params": self._cast(trained["model"]), "batch_stats": state.batch_stats},
            self._cast(self._input(trained, batch, x_key)),
            batch.domain,
            True,
            rngs={"dropout": model_key},
            mutable=["batch_stats", "penalties"],
        )
        layout, logits = self.tables.layout, logits.astype(jnp.float32)
        labels = layout.standardised(batch.labels)
        penalties = jax.tree.leaves(updated.get("penalties", {}))
        totals = state.totals if self._has_totals else None

        def losses_of(logits):
            aims = links.entire_space(logits, labels, batch.observed, self.tasks)
            given = aims.logits, aims.labels, aims.observed, batch.weights
            return losses.task_losses(*given, self.tasks, totals, layout.scales)

        if logits.ndim == 2:
            each = losses_of(logits)
        else:  # (M, B, T), of members
            each = jax.vmap(losses_of)(logits).mean(axis=0)
            logits, penalties = logits.mean(0), [p.mean(0) for p in penalties]
        return (each, penalties), (
            links.predicted(logits, layout),
            updated.get("batch_stats", {}),
        )

    def optimized(
        self, state: TrainState, grads: PyTree, batch: Batch
    ) -> tuple[PyTree, PyTree, PyTree]:
        """Moves what is trained, and the states of Optax and of the row rules."""
        grams = self.rows.grams(batch)
        grads = clip(grads, self.train.clip_norm, self.train.only, grams)
        dense, slopes = self.rows.dense_part(state.trained), self.rows.dense_part(grads)
        updates, opt_state = self.tx.update(slopes, state.opt_state, dense)
        trained = optax.apply_updates(dense, updates)
        tables, row_state = self.rows.update(
            state.trained["tables"], state.row_state, grads["tables"], batch, state.step
        )
        trained["tables"] |= tables
        return trained, opt_state, row_state

    def score(self, variables: PyTree, batch: Batch) -> tuple[jax.Array, PyTree]:
        """Logits (B, T) outside of training; of a number, the prediction in its unit.

        Beside them, the mean weights of gates: see `gates.mean_weights`.
        """
        model = {
            "params": self._cast(variables["model"]),
            "batch_stats": variables["batch_stats"],
        }
        if self.rows.exchanges:
            batch = self.rows.with_touched_rows(batch)
        x = self._cast(self._input(variables, batch))
        logits, sown = self.model.apply(
            model, x, batch.domain, mutable=["intermediates"]
        )
        logits = links.predicted(logits.astype(jnp.float32), self.tables.layout)
        sown = sown.get("intermediates", {})
        return logits, gates.mean_weights(sown, self.train.members)

    def _cast(self, tree: PyTree) -> PyTree:
        """The tree in the precision that the model computes in."""
        return jax.tree.map(lambda x: x.astype(self.train.compute_dtype), tree)

    def _input(self, trained, batch, key=None) -> jax.Array:  # (B, D) or (B, T, D)
        rows = self.tables.lookup(trained["tables"], batch)
        return self.tables.assemble(rows, batch, key)
