"""Our contender, as a child process with the lines of `protocol.py`.

python -m peers.our_side    (in benchmarks/)
"""

from itertools import cycle

import jax
import jax.numpy as jnp
import numpy as np

from peers import compare, problem
from peers.protocol import Case, Cases, Contender, serve
from peers.sizes import TASKS
from ple_jax import losses, models
from ple_jax.config.experiment import Inputs
from ple_jax.embeddings.tables import Tables
from ple_jax.schema import Layout
from ple_jax.train import feed
from ple_jax.train.state import variables_of
from ple_jax.train.step import trainer_of
from ple_jax.types import Batch


def build(case: Case) -> Contender:
    """The library's own train step: donated, jitted, one call a step.

    A thread makes the next batch ready beside the step, as in training. The step does
    more than the others': it also gathers the metrics of the epoch.
    """
    layout = problem.layout_of(case.size)
    trainer = trainer_of(problem.experiment_of(case.model, case.size), layout)
    batches, state = batches_of(case), trainer.init()
    coming = feed.ahead(jax.device_put(trainer.prepare(b)) for b in cycle(batches))
    count = sum(leaf.size for leaf in jax.tree.leaves(state.trained))

    def step(i):
        nonlocal state
        state, done = trainer.steps(state, next(coming), 1)
        done.block_until_ready()

    def as_theirs(folder):
        exchange(case, layout, variables_of(state), batches[0], folder)

    return Contender(step, count, as_theirs)


def batches_of(case: Case) -> list[Batch]:
    """All batches, each with the leading axis of one step."""
    with np.load(case.batches) as arrays:
        batches = problem.batches_of(arrays)
    part = lambda i: jax.tree.map(lambda leaf: leaf[i : i + 1], batches)
    return [part(i) for i in range(len(batches.labels))]


def exchange(case: Case, layout: Layout, variables, batches: Batch, folder) -> None:
    """Writes our weights, and logits and gradients of the first batch."""
    tables = Tables(layout, Inputs(embedding_dim=case.size.width))
    options = problem.options_of(case.model, case.size)
    model = models.build(case.model, num_tasks=TASKS, num_domains=1, **options)
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
    """Parameters by their path, the one table as `table`."""
    (table,) = trained["tables"].values()
    leaves = jax.tree_util.tree_leaves_with_path(trained["model"])
    named = {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
        for path, leaf in leaves
    }
    return {"table": np.asarray(table), **named}


if __name__ == "__main__":
    serve(Cases(build))
