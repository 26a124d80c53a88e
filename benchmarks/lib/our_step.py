"""Our training step, as a child process of `step_vs_peers.py`.

python -m lib.our_step    (in benchmarks/; protocol.py defines the lines)
"""

from itertools import cycle

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax import losses, models
from ple_jax.config.experiment import Inputs
from ple_jax.embeddings.tables import Tables
from ple_jax.train import feed
from ple_jax.train.state import variables_of
from ple_jax.types import Batch

from . import compare, problem
from .protocol import Case, Cases, Contender, serve


def build(case: Case) -> Contender:
    """The library's own training step: jitted, donated, one call a step.

    A thread prepares the next batch during the step, as in training. The step does more
    than those of the others: it also accumulates the metrics of the epoch.
    """
    trainer = problem.trainer_for(case.model, case.size)
    batches, state = batches_of(case), trainer.init()
    coming = feed.ahead(jax.device_put(trainer.prepare(b)) for b in cycle(batches))
    count = sum(leaf.size for leaf in jax.tree.leaves(state.trained))

    def step(i):
        nonlocal state
        state, done = trainer.steps(state, next(coming), 1)
        done.block_until_ready()

    def as_theirs(folder):
        exchange(case, variables_of(state), batches[0], folder)

    return Contender(step, count, as_theirs)


def batches_of(case: Case) -> list[Batch]:
    """All batches, each with the leading axis of one step."""
    with np.load(case.batches) as arrays:
        batches = problem.batches_of(arrays)
    part = lambda i: jax.tree.map(lambda leaf: leaf[i : i + 1], batches)
    return [part(i) for i in range(len(batches.labels))]


def exchange(case: Case, variables, batches: Batch, folder) -> None:
    """Write our weights, and logits and gradients of the first batch."""
    layout = problem.layout_of(case.size)
    tables = Tables(layout, Inputs(embedding_dim=case.size.width))
    options = problem.options_of(case.model, case.size)
    model = models.build(
        case.model, num_tasks=case.size.tasks, num_domains=1, **options
    )
    batch = jax.tree.map(lambda leaf: leaf[0], batches)

    def loss(trained):
        x = tables.assemble(tables.lookup(trained["tables"], batch), batch)
        logits = model.apply({"params": trained["model"]}, x, batch.domain)
        labels = batch.labels, batch.observed, batch.weights
        return jnp.sum(losses.task_losses(logits, *labels, layout.tasks)), logits

    trained = {name: variables[name] for name in ("model", "tables")}
    grads, logits = jax.grad(loss, has_aux=True)(trained)
    compare.write(folder / compare.OURS, by_name(trained), logits, by_name(grads))


def by_name(trained) -> dict[str, np.ndarray]:
    """Parameters by path; the only table is `table`."""
    (table,) = trained["tables"].values()
    leaves = jax.tree_util.tree_leaves_with_path(trained["model"])
    named = {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
        for path, leaf in leaves
    }
    return {"table": np.asarray(table), **named}


if __name__ == "__main__":
    serve(Cases(build))
