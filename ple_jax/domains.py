"""One domain's share of a state: taken out, and put back.

What is private to domains has a leading axis N, under the name `private` (see
`layers/grouped.py`).
"""

import jax

from ple_jax.layers.grouped import PRIVATE
from ple_jax.types import PyTree


def is_private(path) -> bool:
    """Whether a leaf at this path belongs to domains."""
    return any(getattr(key, "key", None) == PRIVATE for key in path)


def own(tree: PyTree, domain) -> PyTree:
    """The tree with private leaves (1, ...) of one domain."""

    def share(path, leaf):
        if not is_private(path):
            return leaf
        return jax.lax.dynamic_slice_in_dim(leaf, domain, 1)

    return jax.tree_util.tree_map_with_path(share, tree)


def put(tree: PyTree, share: PyTree, domain) -> PyTree:
    """`share`, with its private leaves at their place among those of `tree`."""

    def place(path, leaf, new):
        if not is_private(path):
            return new
        return jax.lax.dynamic_update_slice_in_dim(leaf, new, domain, 0)

    return jax.tree_util.tree_map_with_path(place, tree, share)


def alike(a: PyTree, b: PyTree) -> bool:
    """Whether two trees have the same leaves' shapes and types."""
    facts = lambda tree: [
        (path, leaf.shape, leaf.dtype) for path, leaf in jax.tree.leaves_with_path(tree)
    ]
    return bool(facts(a) == facts(b))
