"""A simulated click log of 19 domains, as uneven as those of the STAR paper.

It needs no file, no network and nobody's data. Shares and click rates are those of the
paper's Table 1; all else is drawn at random.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ple_jax.checks import at_least
from ple_jax.data.source import Chunk, Chunks, Source
from ple_jax.schema import Field, Schema, Split, Task

# Per cent of domains 1 to 19.
SHARES = (
    *(0.99, 1.61, 3.40, 3.85, 2.79, 0.56, 4.27, 16.76, 10.00, 12.16),
    *(0.76, 1.31, 3.34, 28.76, 1.17, 0.46, 1.05, 0.91, 5.85),
)
CLICK_RATES = (
    *(2.14, 2.69, 2.97, 3.63, 2.77, 3.45, 3.59, 3.24, 3.23, 2.08),
    *(12.05, 3.52, 1.27, 3.75, 12.03, 4.02, 1.63, 4.64, 1.42),
)
DOMAINS = len(SHARES)
PURCHASE_RATE = 10.0  # per cent of a domain's clicks
GROUPS, CATEGORIES = 20, 50
WIDTH = 8  # of the latent factors
FEWEST = 20_000  # examples: the smallest domain then has 92, with 4 clicks
FIELDS = ("user", "user_group", "item", "category", "domain")


def build(
    examples: int = 1_000_000,
    users: int = 20_000,
    items: int = 5_000,
    domain_effect: float = 0.4,
    purchase: bool = False,
    seed: int = 0,
) -> Source:
    """Predicts click, and optionally purchase, in 19 domains.

        s = sqrt(1 - e) (shared interest) + sqrt(e) (the domain's own interest) + noise
        click = 1 if s is among the top click rate (Table 1) of its domain

    The latent factors of users and items scatter around those of their group and
    category. The shared interest is the match of these factors, plus one number of the
    user and one of the item. A domain's own interest weighs the factors differently and
    prefers some categories. All domains show the same items, but have different most
    active users.

    Args:
        examples: Total number of rows.
        users: Total number of users.
        items: Total number of items.
        domain_effect: The domain's own share e of the interest's variance, in [0, 1].
        purchase: Whether to add the task purchase, given a click; one click in ten
            leads to one.
        seed: Seed of everything drawn.

    Reference: Sheng et al., CIKM 2021, Table 1.
    Differs from the paper: only shares and click rates are the paper's; the split is
        random, not by day.
    """
    options = dict(locals())  # only the arguments so far
    at_least(FEWEST, "data", examples=examples)
    at_least(DOMAINS, "data", users=users, items=items)
    if not 0 <= domain_effect <= 1:
        raise ValueError(f"data.domain_effect must be in [0, 1], got {domain_effect}.")
    tasks = [Task("click"), Task("purchase", given="click")]
    schema = Schema(
        fields=tuple(map(Field, FIELDS)),
        tasks=tuple(tasks if purchase else tasks[:1]),
        split=Split(by="random", seed=seed),
        domain="domain",
        user="user",
        ignored=("*",),
    )

    def chunks() -> Chunks:
        table = draw(examples, users, items, domain_effect, seed)
        yield Chunk(table, "clicks")

    return Source(schema, chunks, {"kind": "clicks", **options})


def draw(
    examples: int, users: int, items: int, domain_effect: float, seed: int
) -> pa.Table:
    """Draws the raw rows, always with purchases."""
    rng = np.random.default_rng(seed)
    people, things = _Side.draw(users, GROUPS, rng), _Side.draw(items, CATEGORIES, rng)
    domain = rng.permutation(np.repeat(np.arange(DOMAINS), domain_sizes(examples)))
    first = rng.permutation(DOMAINS) * (users // DOMAINS)  # the most active users
    user = (first[domain] + _popular(users, examples, rng)) % users
    item = _popular(items, examples, rng)
    click_score, purchase_score = (
        _scores(people, things, user, item, domain, domain_effect, rng)
        for _ in ("click", "purchase")
    )
    columns = [user, people.group[user], item, things.group[item], domain + 1]
    features = dict(zip(FIELDS, columns, strict=True))
    return pa.table(features | _labels(click_score, purchase_score, domain))


class _Side(NamedTuple):
    """Users, or items."""

    group: np.ndarray  # (n,) int64
    factors: np.ndarray  # (n, WIDTH)
    worth: np.ndarray  # (n,)

    @classmethod
    def draw(cls, count: int, groups: int, rng: np.random.Generator) -> "_Side":
        group = rng.integers(0, groups, count)
        own, shared = rng.normal(size=(count, WIDTH)), rng.normal(size=(groups, WIDTH))
        worth = rng.normal(size=count)
        return cls(group, (own + shared[group]) / np.sqrt(2), worth)


def domain_sizes(examples: int) -> np.ndarray:  # (19,) int64
    """The number of rows of each domain; they sum to `examples`."""
    ends = np.cumsum(SHARES) / np.sum(SHARES) * examples
    return np.diff(np.rint(ends).astype(np.int64), prepend=0)


def _popular(values: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws numbers below `values`, low ones most often: (count,) int64."""
    return (values * rng.random(count) ** 2).astype(np.int64)


def _scores(
    people: _Side,
    things: _Side,
    user: np.ndarray,
    item: np.ndarray,
    domain: np.ndarray,
    domain_effect: float,
    rng: np.random.Generator,
) -> np.ndarray:  # (B,)
    """Interest with a variance of about 3, plus logistic noise with one of 3.3."""
    own, shared = np.sqrt(domain_effect), np.sqrt(1 - domain_effect)
    weights = shared + own * rng.normal(size=(DOMAINS, WIDTH))
    liked = own * rng.normal(size=(DOMAINS, CATEGORIES))
    match = np.einsum(
        "bd,bd,bd->b", people.factors[user], things.factors[item], weights[domain]
    )
    worth = shared * (people.worth[user] + things.worth[item])
    interest = match / np.sqrt(WIDTH) + liked[domain, things.group[item]] + worth
    return interest + rng.logistic(size=len(user))


def _labels(
    click_score: np.ndarray, purchase_score: np.ndarray, domain: np.ndarray
) -> dict[str, np.ndarray]:
    click = _highest(click_score, domain, CLICK_RATES)
    # A higher click score makes a purchase likelier; rows without a click come last.
    score = np.where(click, click_score + purchase_score, -np.inf)
    purchase = _highest(score, domain, np.array(CLICK_RATES) * PURCHASE_RATE / 100)
    return {"click": click.astype(np.int8), "purchase": purchase.astype(np.int8)}


def _highest(
    scores: np.ndarray, domain: np.ndarray, rates: Iterable[float]
) -> np.ndarray:  # (B,) bool
    """Whether a score is among the top `rates` per cent of its domain."""
    chosen = np.zeros(len(scores), bool)
    for number, rate in enumerate(rates):
        rows = np.flatnonzero(domain == number)
        count = round(rate / 100 * len(rows))
        chosen[rows[np.argsort(-scores[rows], kind="stable")[:count]]] = True
    return chosen


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    sizes = domain_sizes(1_000_000)
    rates = np.array(CLICK_RATES) / 100
    return {
        "summary": "a simulated click log of 19 domains, as uneven as STAR's",
        "rows": 1_000_000,
        "tasks": {"click": round(float(sizes @ rates) / 1e6, 4), "purchase": 0.0999},
        "domains": {str(i + 1): int(size) for i, size in enumerate(sizes)},
        "source": "drawn from data.seed",
    }
