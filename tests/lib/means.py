"""A log whose fields have target means, and the strength of a prior by hand."""

import dataclasses
import itertools
import math

import pyarrow as pa
from lib.tables import SCHEMA, raw

from ple_jax.schema import Field, Schema, Split, Task

RATING = Task("rating", "weight", loss="squared")
MEANS = Schema(
    fields=(
        Field("item", encodings=("target_mean",)),
        Field("tags", "multi_valued", encodings=("id", "target_mean")),
    ),
    tasks=(*SCHEMA.tasks, RATING),
    split=SCHEMA.split,
    domain="shop",
    weight="price",
)

BY_TIME = dataclasses.replace(MEANS, split=Split("time", "time"))


def log():
    """`raw`, with a weight of 0 or more where it has a price."""
    rows = raw()
    price = pa.array([float(p or 0) / 8 for p in rows["price"].to_pylist()])
    return rows.set_column(2, "price", price)


def strength_by_hand(labels, weights=None):
    """One loop for each sum: labels is a list of groups of labels."""
    weights = weights or [[1.0] * len(group) for group in labels]
    total = sum(map(sum, weights))
    count = sum(map(len, labels))
    chained = itertools.chain.from_iterable
    pairs = [*zip(chained(weights), chained(labels), strict=True)]
    mean = sum(w * y for w, y in pairs) / total
    within = between = squares = 0.0
    for ws, ys in zip(weights, labels, strict=True):
        own = sum(w * y for w, y in zip(ws, ys, strict=True)) / sum(ws)
        between += sum(ws) * (own - mean) ** 2
        within += sum(w * (y - own) ** 2 for w, y in zip(ws, ys, strict=True))
        squares += sum(ws) ** 2
    msw = within / (count - len(labels))
    msb = between / (len(labels) - 1)
    n_0 = (total - squares / total) / (len(labels) - 1)
    return n_0 * msw / (msb - msw) if msb > msw else math.inf
