"""Batches by hand."""

import numpy as np

from ple_jax.types import Batch


def make_batch(ids, bags=(), numbers=None, domain=0):
    """A batch of one task, whose labels are all 1 and observed.

    Args:
        ids: (B, F).
        bags: Name -> (B, L), padded with -1.
        numbers: (B, K); none by default.
        domain: The domain of all examples.
    """
    ids = np.asarray(ids, np.int32)
    ones = np.ones((len(ids), 1), np.float32)
    return Batch(
        ids=ids,
        bags={name: np.asarray(bag, np.int32) for name, bag in dict(bags).items()},
        numbers=ones[:, :0] if numbers is None else np.asarray(numbers, np.float32),
        domain=np.full(len(ids), domain, np.int32),
        labels=ones,
        observed=ones > 0,
        weights=ones[:, 0],
    )
