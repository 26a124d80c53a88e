"""Two correlated binary tasks, drawn on the spot: no file and no network."""

from typing import Any

import numpy as np
import pyarrow as pa

from ple_jax.data._source import Chunk, Chunks, Source
from ple_jax.schema import Field, Schema, Split, Task

TASKS = ("click", "like")
WAVES = 5  # sines in a score


def build(
    examples: int = 100_000,
    correlation: float = 0.5,
    base_rate: float = 0.2,
    categorical: int = 4,
    numeric: int = 8,
    values: int = 50,
    domains: int = 1,
    seed: int = 0,
) -> Source:
    """Scores of two tasks along directions at a given angle, cut at a base rate.

        s_k = w_k . x + sum_i sin(a_i w_k . x + b_i) + noise
        cos(w_1, w_2) = correlation
        y_k = 1 where s_k is among the highest `base_rate`

    x is normal. The model sees its first entries only through the value that each
    category stands for, the others as numbers. With several domains the directions turn
    a little from one to the next, and later domains are smaller.

    Args:
        examples: Rows in all.
        correlation: Cosine of the angle between the two tasks' directions, in [-1, 1].
        base_rate: Share of ones of each task.
        categorical: Columns of categories.
        numeric: Columns of numbers.
        values: Categories in a column.
        domains: Domains; 1 has no domain column.
        seed: Of everything that is drawn.

    Reference: Ma et al., KDD 2018, section 3.2.
    Differs from the paper: labels are cut to 0 and 1, some inputs are categories, and
        the constants that the paper leaves open are chosen here.
    """
    options = dict(locals())  # just the arguments so far
    if not -1 <= correlation <= 1:
        raise ValueError(f"data.correlation must be in [-1, 1], got {correlation}.")
    if not 0 < base_rate < 1:
        raise ValueError(f"data.base_rate must be in (0, 1), got {base_rate}.")
    for name in ("examples", "categorical", "numeric", "values", "domains"):
        if options[name] < (0 if name in ("categorical", "numeric") else 1):
            raise ValueError(f"data.{name} is too small: {options[name]}.")
    fields = [Field(f"category_{i}") for i in range(categorical)]
    fields += [Field(f"number_{i}", "numeric") for i in range(numeric)]
    schema = Schema(
        fields=tuple(fields),
        tasks=tuple(Task(name) for name in TASKS),
        split=Split(by="random", seed=seed),
        domain="domain" if domains > 1 else None,
    )

    def chunks() -> Chunks:
        yield Chunk(draw(**options), "synthetic")

    return Source(schema, chunks, {"kind": "synthetic", **options})


def draw(
    examples: int,
    correlation: float,
    base_rate: float,
    categorical: int,
    numeric: int,
    values: int,
    domains: int,
    seed: int,
) -> pa.Table:
    """The raw rows."""
    rng = np.random.default_rng(seed)
    meanings = rng.normal(size=(categorical, values))
    codes = rng.integers(0, values, (examples, categorical))
    numbers = rng.normal(size=(examples, numeric))
    x = np.c_[meanings[np.arange(categorical), codes], numbers]
    share = 1 / np.arange(1, domains + 1)
    domain = rng.choice(domains, examples, p=share / share.sum())
    columns: dict[str, list[str] | np.ndarray] = {
        f"category_{i}": [f"v{c}" for c in codes[:, i]] for i in range(categorical)
    }
    columns |= {f"number_{i}": numbers[:, i] for i in range(numeric)}
    if domains > 1:
        columns["domain"] = [f"d{d}" for d in domain]
    scores = _scores(x, domain, domains, correlation, rng)
    for name, score in zip(TASKS, scores, strict=True):
        ones = score > np.quantile(score, 1 - base_rate)
        columns[name] = ones.astype(np.int8)
    return pa.table(columns)


def _scores(
    x: np.ndarray,
    domain: np.ndarray,
    domains: int,
    correlation: float,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """One score a task, along two directions that each domain turns a little."""
    width = x.shape[1]
    first, second = np.linalg.qr(rng.normal(size=(width, 2)))[0].T
    other = correlation * first + np.sqrt(1 - correlation**2) * second
    turns = 0.3 * rng.normal(size=(domains, width)) / np.sqrt(width)
    frequency, phase = rng.normal(size=(2, WAVES))
    scores = []
    for direction in (first, other):
        along = np.einsum("bd,bd->b", x, (direction + turns)[domain])
        waves = np.sin(along[:, None] * frequency + phase).sum(axis=1)
        scores.append(along + waves + rng.normal(0, 0.1, len(x)))
    return scores


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows."""
    return {
        "summary": "two correlated binary tasks, drawn on the spot",
        "rows": 100_000,
        "tasks": {name: 0.2 for name in TASKS},
        "domains": {"all": 100_000},
        "source": "drawn from data.seed",
        "terms": "",
    }
