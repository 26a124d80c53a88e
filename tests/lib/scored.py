"""Random scores and labels of two domains and three tasks."""

import numpy as np

from ple_jax.schema import Task

TASKS = (Task("click"), Task("buy"), Task("time", loss="squared"))


DOMAINS = ("shop", "home")


def many(rows=5003, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 3)).astype(np.float32)
    labels = np.float32(rng.random((rows, 3)) < 1 / (1 + np.exp(1 - logits)))
    labels[:, 2] = rng.normal(size=rows)
    observed = rng.random((rows, 3)) < 0.7
    weights = rng.choice([0.5, 1, 3], rows).astype(np.float32)
    domain = rng.integers(0, 2, rows).astype(np.int32)
    return logits, labels, observed, weights, domain
