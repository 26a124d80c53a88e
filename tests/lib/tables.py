"""Small raw tables, and a schema that uses every kind of field, as object and TOML."""

import gzip
import os

import numpy as np
import pyarrow as pa
import pytest

from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk, Source
from ple_jax.schema import Field, Schema, Split, Task

SCHEMA = Schema(
    fields=(
        Field("shop", encodings=("id",)),
        Field("item", encodings=("id",), min_count=2),
        Field("price", "numeric", encodings=("buckets", "log", "piecewise"), bins=5),
        Field("tags", "multi_valued", max_length=3),
        Field("history", "sequence", separator=" ", max_length=2, table="item"),
    ),
    tasks=(Task("click"), Task("buy", given="click"), Task("stars", positive=">= 4")),
    split=Split(by="random", seed=3, fractions=(0.6, 0.2, 0.2)),
    domain="shop",
    user="user",
    weight="weight",
)
# SCHEMA as a schema file.
SCHEMA_TEXT = """
categorical = ["shop", "item"]
numeric = ["price"]
domain = "shop"
user = "user"
weight = "weight"
[fields.shop]
encodings = ["id"]
[fields.item]
encodings = ["id"]
min_count = 2
[fields.price]
encodings = ["buckets", "log", "piecewise"]
bins = 5
[fields.tags]
kind = "multi_valued"
max_length = 3
[fields.history]
kind = "sequence"
separator = " "
max_length = 2
table = "item"
[[tasks]]
name = "click"
[[tasks]]
name = "buy"
given = "click"
[[tasks]]
name = "stars"
positive = ">= 4"
[split]
seed = 3
fractions = [0.6, 0.2, 0.2]
"""


def built(module, **options):
    """A data set's source; without a folder of files, what needs one is skipped."""
    try:
        return module.build(**options)
    except ValueError as error:
        if os.environ.get("PLE_JAX_DATA") or "PLE_JAX_DATA" not in str(error):
            raise
        pytest.skip(str(error))


def raw(rows=397, seed=0):
    rng = np.random.default_rng(seed)
    pick = lambda names, n: " ".join(rng.choice(names, n))
    items = [f"i{k}" for k in range(11)]
    price = np.round(rng.exponential(9, rows) * (rng.random(rows) < 0.7), 2)
    return pa.table(
        {
            "shop": [f"s{k}" for k in rng.choice(3, rows, p=[0.6, 0.3, 0.1])],
            "item": rng.choice(items, rows),
            "price": [None if rng.random() < 0.05 else str(p) for p in price],
            "tags": [
                pick(list("abcde"), rng.integers(0, 6)).replace(" ", "|")
                for _ in range(rows)
            ],
            "history": [pick(items, rng.integers(0, 5)) for _ in range(rows)],
            "click": rng.integers(0, 2, rows).astype(str),
            "buy": rng.choice(["0", "1", ""], rows),
            "stars": rng.choice(["1", "3", "4", "5", ""], rows),
            "user": [f"u{k}" for k in rng.integers(0, 23, rows)],
            "weight": rng.choice([0.5, 1.0, 2.0], rows),
        }
    )


def source(table=None, schema=SCHEMA, chunk=100):
    table = raw() if table is None else table

    def chunks():
        for first in range(0, len(table), chunk):
            yield Chunk(table.slice(first, chunk), "raw", first)

    return Source(schema, chunks, {"kind": "test"})


def rows_of(table, schema=SCHEMA):
    return Rows(Chunk(table, "raw"), schema.format)


def with_value(name, row, value):
    """The raw table with another value in one place."""
    rows = raw().to_pydict()
    rows[name][row] = value
    return pa.table(rows)


def write_csv(path, rows=None, extra=None):
    """Writes rows, by default all of `raw`, and any extra lines; gzipped for .gz."""
    rows = raw() if rows is None else rows
    lines = [",".join(rows.column_names)]
    lines += [
        ",".join("" if v is None else str(v) for v in r.values())
        for r in rows.to_pylist()
    ]
    text = "\n".join(lines + (extra or [])) + "\n"
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt") as file:
        file.write(text)
