"""Which rows a batch holds: the rows at each place of an epoch's order.

Every order is a pure function of (seed, epoch, place). So a run can resume anywhere,
and each process can read its part of a batch.
"""

import functools
from collections.abc import Callable

import numpy as np

from ple_jax.data.hashing import mix

ROUNDS = 4
Order = Callable[[np.ndarray, int], np.ndarray]  # (places, epoch) -> rows


def make_order(
    sampling: str,
    domain: np.ndarray,  # (n,)
    batch_size: int,
    seed: int,
    temperature: float,
) -> Order:
    """The order that `train.sampling` names, over the n rows of a split.

    Args:
        sampling: One of `natural`, `one_domain`, `one_domain_uniform`, `balanced`.
        domain: The domain of each row.
        batch_size: Examples in a batch.
        seed: Seed of the order.
        temperature: Used by `balanced` only.
    """
    if sampling == "natural":
        size = len(domain)
        return lambda place, epoch: permute(place, size, (seed, epoch))
    rows = DomainRows(domain, seed)
    if sampling == "balanced":
        return functools.partial(balanced_rows, rows, temperature)
    return functools.partial(
        one_domain_rows, rows, batch_size, sampling == "one_domain_uniform"
    )


class DomainRows:
    """The rows of each domain as an endless random sequence."""

    def __init__(self, domain: np.ndarray, seed: int):
        self.seed = seed
        self.sizes = np.bincount(domain)
        self.by_domain = np.argsort(domain, kind="stable")
        self.first = np.cumsum(self.sizes) - self.sizes

    def at(self, number: int, place: np.ndarray, epoch: int) -> np.ndarray:
        """Rows of domain `number` at these places (n,) of its sequence: (n,) int64.

        The sequence passes over the whole domain again and again, each time in another
        order.
        """
        size = int(self.sizes[number])
        rows, passes = np.empty(len(place), np.int64), place // size
        for turn in np.unique(passes):
            of_turn = passes == turn
            key = (self.seed, epoch, number, int(turn))
            inside = permute(place[of_turn] % size, size, key)
            rows[of_turn] = self.by_domain[self.first[number] + inside]
        return rows


def one_domain_rows(
    rows: DomainRows, batch_size: int, uniform: bool, place: np.ndarray, epoch: int
) -> np.ndarray:
    """Rows (n,) of batches of one domain each, drawn by size or uniformly.

    Reference: Sheng et al., CIKM 2021, section 3.1.
    """
    drawn = _draw_domains(rows, batch_size, uniform, epoch)
    batch, within = np.divmod(place, batch_size)
    found = np.empty(len(place), np.int64)
    for k in np.unique(batch):
        before = int((drawn[:k] == drawn[k]).sum())
        mine = batch == k
        places = before * batch_size + within[mine]
        found[mine] = rows.at(int(drawn[k]), places, epoch)
    return found


def _draw_domains(
    rows: DomainRows, batch_size: int, uniform: bool, epoch: int
) -> np.ndarray:
    """Draws the domain of each batch of an epoch: (steps,) int64."""
    sizes = (rows.sizes > 0) if uniform else rows.sizes
    rng = np.random.default_rng((rows.seed, epoch, batch_size))
    steps = rows.sizes.sum() // batch_size
    return rng.choice(len(sizes), steps, p=sizes / sizes.sum())


def balanced_rows(
    rows: DomainRows, temperature: float, place: np.ndarray, epoch: int
) -> np.ndarray:
    """Rows (n,) at these places (n,) of an epoch that mixes domains by temperature.

        share_k = size_k^(1/temperature) / sum_j size_j^(1/temperature)

    An epoch skips part of a large domain and repeats a small one.
    """
    counts = balanced_counts(rows.sizes, temperature)
    slot = permute(place, int(counts.sum()), (rows.seed, epoch))
    ends = np.cumsum(counts)
    number = np.searchsorted(ends, slot, side="right")
    within = slot - (ends - counts)[number]
    found = np.empty(len(place), np.int64)
    for k in np.unique(number):
        found[number == k] = rows.at(int(k), within[number == k], epoch)
    return found


def balanced_counts(sizes: np.ndarray, temperature: float) -> np.ndarray:  # (N,) int64
    """Examples of each domain in a balanced epoch; they sum to `sizes.sum()`."""
    share = np.where(sizes > 0, sizes.astype(np.float64) ** (1 / temperature), 0)
    ends = np.cumsum(share) / share.sum() * sizes.sum()
    return np.diff(np.rint(ends).astype(np.int64), prepend=0)


def permute(place: np.ndarray, size: int, seed: tuple[int, ...]) -> np.ndarray:  # int64
    """The rows at these places (n,) of a pseudo-random order of range(size).

    A Feistel network permutes the next power of four. Places that land beyond `size`
    are permuted again until they land within. This needs memory for n rows only.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    low, shift = np.uint64((1 << half) - 1), np.uint64(half)
    keys = np.random.SeedSequence(seed).generate_state(ROUNDS, np.uint64)

    def once(x):
        left, right = x >> shift, x & low
        for key in keys:
            left, right = right, left ^ (mix(right, int(key)) & low)
        return (left << shift) | right

    x = once(place.astype(np.uint64))
    while (beyond := x >= size).any():
        x[beyond] = once(x[beyond])
    return x.astype(np.int64)
