"""Our contender, as a child process with the lines of `protocol.py`.

python -m peers.our_side    (in benchmarks/)
"""

import jax
import jax.numpy as jnp
import numpy as np

from peers import compare
from peers.protocol import Case, Contender, serve
from peers.sizes import TASKS, Size
from ple_jax import losses, models
from ple_jax.config import Experiment, Plugin, Train
from ple_jax.layers.tables import Inputs, Tables
from ple_jax.schema import IdColumn, Layout, NumberColumn, Task
from ple_jax.state import variables_of
from ple_jax.train import trainer_of
from ple_jax.types import Batch


def build(case: Case) -> Contender:
    """The library's own train step: donated, jitted, one call a step.

    It does more than the others': it also gathers the metrics of the epoch.
    """
    layout, experiment = layout_of(case.size), experiment_of(case)
    trainer = trainer_of(experiment, layout)
    batches = batches_of(case)
    state = trainer.init()
    count = sum(leaf.size for leaf in jax.tree.leaves(state.trained))

    def step(i):
        nonlocal state
        state, done = trainer.steps(state, batches[i], 1)
        done.block_until_ready()

    def as_theirs(folder):
        exchange(case, layout, variables_of(state), batches[0], folder)

    return Contender(step, count, as_theirs)


def layout_of(size: Size) -> Layout:
    """Fields with a table each, plain numbers, binary tasks, one domain."""
    names = [f"field_{i}" for i in range(size.fields)]
    return Layout(
        ids=tuple(IdColumn(name, name, size.rows) for name in names),
        bags=(),
        numbers=tuple(NumberColumn(f"number_{i}") for i in range(size.numbers)),
        tasks=tuple(Task(f"task_{i}") for i in range(TASKS)),
        domains=("all",),
    )


def experiment_of(case: Case) -> Experiment:
    """Adam at 1e-3 for everything, constant task weights."""
    return Experiment(
        data=Plugin("synthetic", {}),
        model=Plugin(case.model, options_of(case)),
        weighting=Plugin("fixed", {}),
        inputs=Inputs(embedding_dim=case.size.width),
        train=Train(batch_size=case.size.batch),
    )


def options_of(case: Case) -> dict:
    """The options of the model."""
    size = case.size
    widths = {"expert_dims": size.expert_dims, "tower_dims": size.tower_dims}
    if case.model == "mmoe":
        return widths | {"num_experts": size.experts}
    return widths | {
        "num_levels": size.levels,
        "experts_per_task": size.own,
        "shared_experts": size.shared,
    }


def batches_of(case: Case) -> list[Batch]:
    """All batches on the device, each with the leading axis of one step."""
    with np.load(case.batches) as arrays:
        ids, numbers, labels = (arrays[k] for k in ("ids", "numbers", "labels"))
    size = case.size.batch
    return [
        jax.device_put(
            Batch(
                ids=ids[i : i + 1],
                bags={},
                numbers=numbers[i : i + 1],
                domain=np.zeros((1, size), np.int32),
                labels=labels[i : i + 1],
                observed=np.ones((1, size, TASKS), bool),
                weights=np.ones((1, size), np.float32),
            )
        )
        for i in range(len(ids))
    ]


def exchange(case: Case, layout: Layout, variables, batches: Batch, folder) -> None:
    """Writes our weights, and logits and gradients of the first batch."""
    tables = Tables(layout, Inputs(embedding_dim=case.size.width))
    model = models.build(case.model, num_tasks=TASKS, num_domains=1, **options_of(case))
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
    serve(build)
