"""Two correlated tasks drawn at random, without any file or network."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ple_jax.checks import at_least
from ple_jax.data.hashing import mix
from ple_jax.data.source import Chunk, Chunks, Source
from ple_jax.data.split import split_names
from ple_jax.schema import Field, Schema, Split, Task

NAME = "synthetic"
TASKS = ("click", "like")
NOISE = 0.1  # standard deviation
SHARE_KEY = 0x53686172  # sets the hash for what is kept apart from that for splits


def build(
    examples: int = 100_000,
    correlation: float = 0.5,
    base_rate: float = 0.2,
    categorical: int = 4,
    numeric: int = 8,
    values: int = 50,
    domains: int = 1,
    last_domain_share: float = 1.0,
    labels: Literal["binary", "real"] = "binary",
    waves: int = 5,
    scale: float = 1.0,
    seed: int = 0,
) -> Source:
    """Two tasks with scores along two directions, cut at a base rate.

        s_k = w_k . x + sum_i sin(a_i w_k . x + b_i) + noise,   a, b, x standard normal
        cos(w_1, w_2) = correlation,   |w_k| = scale
        y_k = s_k, or 1 if s_k is among the top share `base_rate`

    The model sees the first entries of x only as categories, one per value, and the
    others as numbers. With several domains, directions turn a little from domain to
    domain, and later domains are smaller. The PLE paper's data are
    `labels = "real", categorical = 0, numeric = 512, waves = 10, examples = 1_400_000`.

    Args:
        examples: Total number of rows.
        correlation: Cosine of the angle between the tasks' directions, in [-1, 1].
        base_rate: Share of ones in each task's labels, in (0, 1).
        categorical: Number of columns of categories.
        numeric: Number of columns of numbers.
        values: Number of categories in a column.
        domains: Number of domains; 1 adds no column of domains.
        last_domain_share: Share of the last domain's train examples that are kept, in
            (0, 1]: of all, if there is one domain. A smaller share keeps some of those
            of a larger one. Validation and test are the same for all shares.
        labels: `binary` cuts the scores into 0 and 1; `real` keeps them, with a squared
            loss.
        waves: Number of sines in a score, m in the papers.
        scale: Length of the directions, c in the papers.
        seed: Seed of everything drawn.

    Reference: Ma et al., KDD 2018, section 3.2; Tang et al., RecSys 2020, section 5.2.
    Differs from the paper: by default labels are 0 and 1, and some inputs are
        categories; we chose the constants that the first paper leaves open.
    """
    options = dict(locals())  # only the arguments so far
    at_least(1, "data", examples=examples, values=values, domains=domains)
    at_least(0, "data", categorical=categorical, numeric=numeric, waves=waves)
    _check(correlation, base_rate, categorical + numeric)
    share = options.pop("last_domain_share")
    if not 0 < share <= 1:
        raise ValueError(f"data.last_domain_share must be in (0, 1], got {share}.")
    schema = make_schema(categorical, numeric, domains, labels, seed)
    if share < 1:
        schema = replace(schema, split=Split(by="column", column="split"))

    def chunks() -> Chunks:
        table = draw(**options)
        yield Chunk(thinned(table, domains, share, seed) if share < 1 else table, NAME)

    thin = {"last_domain_share": share} if share < 1 else {}
    return Source(schema, chunks, {"kind": NAME, **options, **thin})


def _check(correlation: float, base_rate: float, columns: int) -> None:
    if not -1 <= correlation <= 1:
        raise ValueError(f"data.correlation must be in [-1, 1], got {correlation}.")
    if not 0 < base_rate < 1:
        raise ValueError(f"data.base_rate must be in (0, 1), got {base_rate}.")
    if columns < 2:
        raise ValueError(
            "data.categorical and data.numeric must be at least 2 together, got "
            f"{columns}: two directions need two columns."
        )


def make_schema(
    categorical: int, numeric: int, domains: int, labels: str, seed: int
) -> Schema:
    """Describes the columns."""
    # Embedded, however few the examples: what it is made for is tables and speed.
    categories = (Field(f"category_{i}", encodings=("id",)) for i in range(categorical))
    numbers = (Field(f"number_{i}", "numeric") for i in range(numeric))
    loss: Literal["binary", "squared"] = "binary" if labels == "binary" else "squared"
    return Schema(
        fields=(*categories, *numbers),
        tasks=tuple(Task(name, loss=loss) for name in TASKS),
        split=Split(by="random", seed=seed),
        domain="domain" if domains > 1 else None,
    )


def draw(
    examples: int,
    correlation: float,
    base_rate: float,
    categorical: int,
    numeric: int,
    values: int,
    domains: int,
    labels: str,
    waves: int,
    scale: float,
    seed: int,
) -> pa.Table:
    """Draws the raw rows."""
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
    directions = scale * _directions(x.shape[1], domains, correlation, rng)
    frequency, phase = rng.normal(size=(2, waves))
    for name, direction in zip(TASKS, directions, strict=True):
        along = np.einsum("bd,bd->b", x, direction[domain])
        bent = np.sin(along[:, None] * frequency + phase).sum(axis=1)
        score = along + bent + rng.normal(0, NOISE, examples)
        high = (score > np.quantile(score, 1 - base_rate)).astype(np.int8)
        columns[name] = score if labels == "real" else high
    return pa.table(columns)


def thinned(table: pa.Table, domains: int, share: float, seed: int) -> pa.Table:
    """Keeps a share of the last domain's train rows; adds the column `split`.

    Rows have the splits that `Split(by="random")` gives the whole table.
    """
    number = np.arange(len(table), dtype=np.uint64)
    place = mix(number, seed).astype(np.float64) / 2.0**64
    split = split_names(place, list(np.cumsum(Split().fractions[:2])))
    table = table.append_column("split", split)
    chance = mix(number, seed + SHARE_KEY).astype(np.float64) / 2.0**64
    last = np.asarray(split) == "train"
    if domains > 1:
        last &= table["domain"].to_numpy() == f"d{domains - 1}"
    return table.filter(pa.array(~last | (chance < share)))


def _directions(
    width: int, domains: int, correlation: float, rng: np.random.Generator
) -> np.ndarray:  # (tasks, domains, width)
    """Two unit vectors at an angle, turned a little in each domain but the first."""
    first, second = np.linalg.qr(rng.normal(size=(width, 2)))[0].T
    other = correlation * first + np.sqrt(1 - correlation**2) * second
    turns = 0.3 * rng.normal(size=(domains, width)) / np.sqrt(width)
    turns[0] = 0
    return np.stack([first, other])[:, None] + turns[None]


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "two correlated binary tasks, drawn at random",
        "rows": 100_000,
        "tasks": {name: 0.2 for name in TASKS},
        "domains": {"all": 100_000},
        "source": "drawn from data.seed",
    }
