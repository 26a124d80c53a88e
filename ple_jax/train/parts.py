"""A batch that goes through the model in parts, in the memory of one."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from ple_jax.types import Array, PyTree


class InParts(NamedTuple):
    """A model that keeps no activations in training, and computes a part's anew.

    Logits are those of the whole batch, and so are gradients but for the order of their
    sums. Dropout draws other units than for the whole. A penalty is the mean of parts'.

    Attributes:
        model: What goes through the batch.
        parts: Number of parts, neighbouring examples each.
    """

    model: nn.Module
    parts: int

    def init(self, *arguments: Any) -> PyTree:
        """As the model's."""
        return self.model.init(*arguments)

    def apply(
        self,
        variables: PyTree,
        x: Array,  # (B, ...)
        domain: Array,  # (B,)
        train: bool = False,
        rngs: Any = None,
        **more: Any,
    ) -> Any:
        """As the model's; in training, with a key for dropout and what to sow."""
        if not train:
            return self.model.apply(variables, x, domain, **more)
        # Parts' gradients add up in float32, whatever the model computes in.
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), variables)
        narrow = lambda leaf, like: leaf.astype(like.dtype)

        @functools.partial(jax.checkpoint, prevent_cse=False)  # two loops
        def run(wide, x, domain, key):
            given = jax.tree.map(narrow, wide, variables)
            rngs = {"dropout": key}
            return self.model.apply(given, x, domain, True, rngs=rngs, **more)

        keys = jax.random.split(rngs["dropout"], self.parts)
        cut = lambda leaf: leaf.reshape(self.parts, -1, *leaf.shape[1:])
        turn = lambda _, part: (None, run(wide, *part))
        _, (logits, sown) = jax.lax.scan(turn, None, (cut(x), cut(domain), keys))
        mean = jax.tree.map(lambda leaf: leaf.mean(axis=0), sown)
        logits = jnp.moveaxis(logits, 0, -3)  # (M, P, B / P, T), or without members M
        return logits.reshape(*logits.shape[:-3], -1, logits.shape[-1]), mean


def in_parts(model: nn.Module, parts: int, batch_size: int) -> nn.Module | InParts:
    """The model, or one that goes through a batch in parts.

    Raises:
        ValueError: The parts of a batch would not be equal.
    """
    if parts == 1:
        return model
    if batch_size % parts:
        raise ValueError(
            "train.parts must divide train.batch_size, so that parts are equal; got "
            f"{parts} parts of {batch_size} examples."
        )
    return InParts(model, parts)


def check_no_batch_statistics(state: Any) -> None:
    """Raises a ValueError if a state has statistics of batches."""
    if jax.tree.leaves(state.batch_stats):
        raise ValueError(
            "train.parts above 1 needs a model without batch statistics: each part "
            "would be normalised by its own. Leave out batch_norm, partitioned_norm "
            "and input_norm = 'batch'."
        )
