"""One domain's share of a state: taken out, and put back.

What is private to domains has a leading axis N under the name `private` (see
`layers/per_domain.py`). Shares are read and written in loops of one iteration: without
them XLA fuses the step in between into both, and first copies all domains' leaves.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.layers.per_domain import PRIVATE
from ple_jax.train.parts import InParts
from ple_jax.types import Array, PyTree, path_names

with_path = jax.tree_util.tree_map_with_path


def is_private(path) -> bool:
    """Whether a leaf at this path belongs to domains."""
    return PRIVATE in path_names(path)


def own(tree: PyTree, domain: jax.Array | int) -> PyTree:
    """The tree with the private leaves (1, ...) of one domain."""

    def read(path, leaf):
        if not is_private(path):
            return leaf
        return jax.lax.dynamic_slice_in_dim(leaf, domain, 1)

    start = lambda path, x: jnp.zeros_like(x[:1]) if is_private(path) else x
    empty = with_path(start, tree)
    turn = lambda _, share: with_path(read, tree)
    return jax.lax.fori_loop(0, _once(domain), turn, empty)


def put(tree: PyTree, share: PyTree, domain: jax.Array | int) -> PyTree:
    """`share`, with its private leaves put back among those of `tree`."""

    def write(path, leaf, new):
        if not is_private(path):
            return leaf
        return jax.lax.dynamic_update_slice_in_dim(leaf, new, domain, 0)

    whole = with_path(lambda path, a, b: a if is_private(path) else b, tree, share)
    turn = lambda _, whole: with_path(write, whole, share)
    return jax.lax.fori_loop(0, _once(domain), turn, whole)


def _once(domain: jax.Array | int) -> jax.Array:
    """A 1 that XLA cannot know at compile time."""
    return (jnp.asarray(domain) >= 0).astype(jnp.int32)


def alike(a: PyTree, b: PyTree) -> bool:
    """Whether two trees have the same leaves' shapes and types."""
    facts = lambda tree: [
        (path, leaf.shape, leaf.dtype) for path, leaf in jax.tree.leaves_with_path(tree)
    ]
    return bool(facts(a) == facts(b))


class OfOneDomain(NamedTuple):
    """A model of one domain, which takes every example to be of that one."""

    model: nn.Module | InParts

    def init(self, key: jax.Array, x: jax.Array, domain: jax.Array) -> PyTree:
        """As the model's."""
        return self.model.init(key, x, jnp.zeros_like(domain))

    def apply(self, variables: PyTree, x: jax.Array, domain: Array, *args, **more):
        """As the model's."""
        return self.model.apply(variables, x, jnp.zeros_like(domain), *args, **more)
