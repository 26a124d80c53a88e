"""Visits of a shop that has two branches, drawn on the spot."""

from typing import Any

import numpy as np
import pyarrow as pa

from ple_jax.checks import at_least
from ple_jax.data.source import Chunk, Chunks, Source
from ple_jax.schema import Field, Schema, Split, Task

FIELDS = (Field("item"), Field("price", "numeric"))
TASKS = (Task("look"), Task("buy", given="look"))


def build(visits: int = 1009, seed: int = 0) -> Source:
    """Who looks at an item, and who then buys it.

    Args:
        visits: Rows in all.
        seed: Of everything that is drawn.
    """
    at_least(101, "data", visits=visits)
    schema = Schema(FIELDS, TASKS, Split(by="random", seed=seed), domain="branch")

    def chunks() -> Chunks:
        yield Chunk(draw(visits, seed), "visits")

    return Source(schema, chunks, {"kind": "visits", "visits": visits, "seed": seed})


def draw(visits: int, seed: int) -> pa.Table:
    """The raw rows."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, 7, visits)
    price = rng.lognormal(size=visits)
    look = item + rng.normal(size=visits) > 3
    return pa.table(
        {
            "item": [f"item_{i}" for i in item],
            "price": price,
            "branch": rng.choice(["north", "south"], visits),
            "look": look.astype(np.int8),
            "buy": (look & (price < 1)).astype(np.int8),
        }
    )


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows."""
    return {
        "summary": "visits of a shop that has two branches",
        "rows": 1009,
        "tasks": {"look": None, "buy": None},
        "domains": {"north": None, "south": None},
        "source": "drawn from data.seed",
        "terms": "",
    }
