"""Gradient conflict: whether two tasks pull what they share the same way."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax.data.examples import Examples
from ple_jax.data.loader import gather_batch
from ple_jax.runs.directory import Run
from ple_jax.serve.files import load_scorer
from ple_jax.train import merging
from ple_jax.train.setup import Setup, placed
from ple_jax.train.state import steps_taken
from ple_jax.train.step import Step
from ple_jax.types import Batch, PyTree, path_names

BATCHES = 32
ALL = "all that is shared"


def gradient_conflict(run: Run, batches: int = BATCHES) -> dict[str, Any]:
    """The cosine between the gradients of each two tasks, layer by layer.

        cos_ij = g_i . g_j / (|g_i| |g_j|),   over the numbers that both tasks move

    Gradients are those of a training step at the best checkpoint, on batches of train
    that are drawn at random. A cosine below 0 is a conflict: what helps one task harms
    the other. Layers that no two tasks share are left out.

    Args:
        run: A run of at least two tasks.
        batches: How many.

    Returns:
        Plain arrays:

        pairs     [(task, task)] (P,)
        layers    paths of modules and tables (L,), and last of all together
        mean      (L, P) over batches; NaN of what a pair does not share
        deviation (L, P) of batches
        opposed   (L, P) share of batches in which the cosine is below 0

    Reference: Yu et al., NeurIPS 2020, section 2.
    """
    setup = Setup([run.experiment], run.data)
    step = setup.step
    return _meter(setup, step, batches)(trained_state(step, run))


def conflict_over_time(
    run: Run, epochs: int | None = None, batches: int = BATCHES
) -> list[dict[str, Any]]:
    """`gradient_conflict` before training, and after each epoch of it.

    The training is done again from its seed, as long as it took, and nothing of it is
    kept; so it shows the run itself.

    Args:
        run: A finished run.
        epochs: How many; by default all that it had.
        batches: How many at each time, the same at all.

    Returns:
        What `gradient_conflict` does for each time, and `examples` trained on so far.
    """
    epochs = (run.result or {})["epochs"] if epochs is None else epochs
    setup = Setup([run.experiment], run.data)
    step = setup.step
    state, measured = placed(setup.trainer, setup.mesh), _meter(setup, step, batches)
    found = [{"examples": 0, **measured(state)}]
    for epoch in range(epochs):
        for many, count in setup.feed.chunks(epoch, 0):
            state, _ = setup.trainer.steps(state, many, count)
        seen = steps_taken(state) * setup.train.batch_size
        found.append({"examples": seen, **measured(state)})
    return found


def _meter(
    setup: Setup, step: Step, batches: int
) -> Callable[[PyTree], dict[str, Any]]:
    """Measures the conflict of a state, on the same batches at each call."""
    tasks, split = setup.data.layout.tasks, setup.data.split("train")
    pairs = list(itertools.combinations(range(len(tasks)), 2))
    of = jax.jit(lambda state, batch: products(step, state, batch, pairs))
    size = min(setup.train.batch_size, len(split))

    def measured(state: PyTree) -> dict[str, Any]:
        drawn = random_batches(split, batches if pairs else 0, size)
        found = [jax.tree.map(np.asarray, of(state, batch)) for batch in drawn]
        names = [(tasks[i].name, tasks[j].name) for i, j in pairs]
        return {"pairs": names, **_summed(found, len(pairs))}

    return measured


def _summed(found: list[PyTree], pairs: int) -> dict[str, Any]:
    """The cosines of batches' products, by layer."""
    layers = by_layer(found)
    cosines = {name: cosine(values) for name, values in layers.items()}
    shared = {k: c for k, c in cosines.items() if not np.isnan(c).all()}
    each = np.array([*shared.values()]).reshape(len(shared), len(found), pairs)
    over = lambda how, values: np.array(
        [[_known(how, column) for column in layer.T] for layer in values]
    ).reshape(len(shared), pairs)
    return {
        "layers": list(shared),
        "mean": over(np.mean, each),
        "deviation": over(np.std, each),
        "opposed": over(lambda c: np.mean(c < 0), each),
    }


def _known(how, values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(how(known)) if len(known) else np.nan


def random_batches(examples: Examples, count: int, size: int) -> Iterator[Batch]:
    """Batches of different rows, drawn at random, the same at each call."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        rows = np.sort(rng.choice(len(examples), size, replace=False))
        yield gather_batch(examples, rows)


def trained_state(step: Step, run: Run) -> PyTree:
    """The state at the best checkpoint; what it does not keep is as at first."""
    _, variables = load_scorer(run)
    state = step.init()
    trained = {k: variables.get(k, leaf) for k, leaf in state.trained.items()}
    return state.replace(trained=trained, batch_stats=variables["batch_stats"])


def products(
    step: Step, state: PyTree, batch: Batch, pairs: list[tuple[int, int]]
) -> PyTree:  # leaves (P, 3)
    """g_i . g_j, |g_i|^2 and |g_j|^2 of each array and pair, where both are not 0."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.seed), state.step)
    batch = step.rows.with_touched_rows(batch)
    moving, batch = step.rows.with_row_deltas(state.trained, batch)
    losses_of = lambda trained: step.losses(trained, state, batch, key)
    _, grads, _, _ = merging.task_gradients(losses_of, moving)

    def of(leaf: jax.Array) -> jax.Array:
        rows = []
        for i, j in pairs:
            both = (leaf[i] != 0) & (leaf[j] != 0)
            a, b = leaf[i] * both, leaf[j] * both
            rows.append(jnp.stack([(a * b).sum(), (a * a).sum(), (b * b).sum()]))
        return jnp.stack(rows)

    return jax.tree.map(of, {k: grads[k] for k in ("model", "tables")})


def by_layer(each: list[PyTree]) -> dict[str, np.ndarray]:
    """Layer -> (batches, P, 3): sums over its arrays; last, over all of them."""
    found: dict[str, np.ndarray] = {}
    if not each:
        return found
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
    for path, leaf in jax.tree.leaves_with_path(stacked):
        room, *names = path_names(path)
        name = "/".join(names if room == "tables" else names[:-1]) or room
        name = f"table {name}" if room == "tables" else name
        found[name] = found.get(name, 0) + leaf
    return {**found, ALL: np.sum([*found.values()], axis=0)}


def cosine(products: np.ndarray) -> np.ndarray:  # (..., 3) -> (...)
    """The cosine of two vectors by their products; NaN if one has no length."""
    dot, a, b = np.moveaxis(np.asarray(products, np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(a * b > 0, dot / np.sqrt(a * b), np.nan)
