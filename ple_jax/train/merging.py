"""Each task's own gradient, compared with the others' and merged into one.

The T gradients are stacked along a leading axis T of every leaf.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np

from ple_jax import links
from ple_jax.losses import sample_weights
from ple_jax.tasks import Task
from ple_jax.train.state import TrainState
from ple_jax.types import Batch, PyTree, path_names
from ple_jax.weightings import Now, Weighting

Grams = Mapping[str, Callable[[jax.Array], jax.Array]]
NONE: Grams = MappingProxyType({})


def by_array(memory: PyTree, trained: PyTree) -> PyTree:
    """The memory of a weighting, once for each array that is trained."""
    count = len(jax.tree.leaves(trained))
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], count, axis=0), memory)


def task_weights(batch: Batch, tasks: Sequence[Task]) -> jax.Array:  # (T,)
    """The weight of each task in a batch, in the space that it is trained on."""
    zeros = jnp.zeros_like(batch.labels)
    aims = links.entire_space(zeros, batch.labels, batch.observed, tasks)
    return sample_weights(aims.observed, batch.weights)


def now_of(
    state: TrainState, batch: Batch, key: jax.Array, tasks: Sequence[Task], steps: int
) -> Now:
    """What a weighting is told of a step, of which an epoch has `steps`."""
    seen = task_weights(batch, tasks) > 0
    # The step splits the same key into what folding in 0 and 1 gives.
    own = jax.random.fold_in(key, 2)
    return Now(state.step, state.step // steps, own, seen)


def task_gradients(
    losses_of: Callable[[PyTree], tuple[tuple[jax.Array, list[jax.Array]], PyTree]],
    trained: PyTree,
) -> tuple[jax.Array, PyTree, PyTree, PyTree]:
    """Losses (T,), their gradients, that of the penalties' sum, and the aux.

    Args:
        losses_of: Maps what is trained to ((losses (T,), penalties), aux).
        trained: Where to differentiate.
    """
    (each, penalties), pull_back, aux = jax.vjp(losses_of, trained, has_aux=True)
    no, one = (jnp.full((), value, each.dtype) for value in (0, 1))
    of = lambda task, penalty: pull_back((task, [penalty] * len(penalties)))[0]
    # One after the other: side by side they take 1.5 times as long and more memory.
    stacked = jax.lax.map(lambda task: of(task, no), jnp.eye(len(each)))
    if penalties:
        return each, stacked, of(jnp.zeros_like(each), one), aux
    return each, stacked, jax.tree.map(jnp.zeros_like, trained), aux


def merged(
    weighting: Weighting,
    memory: PyTree,
    losses: jax.Array,  # (T,)
    stacked: PyTree,
    shared: Callable[[], PyTree],
    now: Now,
    grams: Grams = NONE,
) -> tuple[PyTree, PyTree]:
    """The gradients as the weighting merges them, and its memory; see `weighed`."""
    if weighting.merge is not None:
        return weighting.merge(memory, losses, stacked)
    return weighed(weighting, memory, losses, stacked, shared(), now, grams)


def weighed(
    weighting: Weighting,
    memory: PyTree,
    losses: jax.Array,  # (T,)
    stacked: PyTree,
    shared: PyTree,
    now: Now,
    grams: Grams = NONE,
) -> tuple[PyTree, PyTree]:
    """The gradients g_k merged by a weighting that has `weigh`, and its memory.

    Entries that tasks share get sum_k w_k g_k; private ones sum_k g_k, which is their
    own task's.

    Args:
        weighting: Gives the weights w_k.
        memory: What it remembers.
        losses: Each task's loss.
        stacked: The gradients.
        shared: Which entries tasks share; arrays that broadcast to the parameters.
        now: What the weighting is told of the step.
        grams: Table whose gradients are sums of several devices -> its own `gram`.
    """
    weigh = weighting.weigh
    assert weigh is not None
    where = counted(shared, weighting)

    def products(path, grads, mask):
        names = path_names(path)
        own = names[0] == "tables" and mask.any() and grams.get(names[-1])
        return own(grads) if own else gram(grads, mask)

    found = jax.tree_util.tree_map_with_path(products, stacked, where)
    leaves, tree = jax.tree.flatten(found)
    every = jnp.stack(leaves)  # (P, T, T), of all arrays
    if weighting.by_array:
        each = lambda memory, gram: weigh(memory, losses, gram, now)
        weights, memory = jax.vmap(each)(memory, every)
    else:
        one, memory = weigh(memory, losses, every.sum(axis=0), now)
        weights = jnp.broadcast_to(one, (len(every), *one.shape))
    if weighting.everywhere:
        where = jax.tree.map(np.ones_like, where)
    of_leaf = jax.tree.unflatten(tree, [*weights])
    return jax.tree.map(sum_of, stacked, of_leaf, where), memory


def counted(shared: PyTree, weighting: Weighting) -> PyTree:
    """The entries that count as shared for this weighting."""

    def of(path, mask):
        rows = path_names(path)[0] == "tables"
        return np.zeros_like(mask) if rows and not weighting.tables else mask

    return jax.tree_util.tree_map_with_path(of, shared)


def gram(
    grads: jax.Array,  # (T, ...)
    shared: np.ndarray,  # bool
) -> jax.Array:  # (T, T)
    """The inner products of the tasks' gradients of one array, where it is shared."""
    if not shared.any():
        return jnp.zeros((len(grads), len(grads)), jnp.float32)
    flat = (grads if shared.all() else grads * shared[None]).reshape(len(grads), -1)
    flat = flat.astype(jnp.float32)
    return jnp.matmul(flat, flat.T, precision="highest")


def sum_of(
    grads: jax.Array,  # (T, ...)
    weights: jax.Array,  # (T,)
    shared: np.ndarray,  # bool
) -> jax.Array:
    """sum_k w_k g_k where an array is shared, sum_k g_k elsewhere."""
    if not shared.any():
        return grads.sum(axis=0)
    each = weights.reshape(-1, *[1] * (grads.ndim - 1)).astype(grads.dtype)
    each = each if shared.all() else jnp.where(shared[None], each, 1)
    return (each * grads).sum(axis=0)
