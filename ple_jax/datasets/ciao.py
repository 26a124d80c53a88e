"""Ciao: 284,086 ratings of products in 28 categories, 2000 to 2011.

Categories are very uneven domains, with 68 to 39,887 ratings. A rating's `helpfulness`
is a code from 1 to 7 that the README does not explain; the task predicts the most
frequent one.

Source: Tang et al., WSDM 2012 and KDD 2012.
Terms: none stated. Use for research only, cite the authors, and pass on no copy.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from ple_jax.checks import at_least
from ple_jax.data.files import find_files
from ple_jax.data.source import Chunk, Chunks, Source
from ple_jax.schema import Field, Schema, Split, Task

FILE = "rating_with_timestamp.mat"
SHA256 = "488e9aa5f60e6a52a972795b6402f922fc0d9d273152f4d124a5c5bdefb86a71"
HOW = (
    "Download it from github.com/yushundong/Graph-Mining-Fairness-Data, folder "
    "dataset/Epinion&Ciao/ciao (1.5 MB)."
)
TERMS = "none stated: research only; cite Tang et al., WSDM 2012 and KDD 2012"
COLUMNS = ("user", "item", "category", "rating", "helpfulness", "time")
TASKS = (Task("like", "rating", ">= 4"), Task("helpful", "helpfulness", "== 1"))
SIZES = (
    *(39_887, 21_968, 23_923, 19_237, 21_885, 20_589, 1_331, 10_332, 4_915, 30_382),
    *(6_767, 16_751, 2_644, 6_540, 1_565, 3_879, 5_141, 5_338, 4_258, 471, 6_679),
    *(2_619, 8_638, 14_959, 197, 68, 390, 2_733),
)  # of categories 1 to 28
LARGEST, LATE = "1", "25"
ROWS = 1 << 16  # in a chunk


def build(history: int = 20, min_count: int = 2, data_dir: str | None = None) -> Source:
    """Predicts whether a rating is a like (4 or 5 of 5), and is helpful (code 1).

    The domain is the product's category. The split is 8 : 1 : 1 by time and keeps equal
    times together. Category 25 starts in March 2010, after train and validation. Its
    197 ratings count as the largest category's, which leaves 27 domains.

    Args:
        history: Longest sequence of items that the user rated at strictly earlier
            times, latest last; 0 adds no such field.
        min_count: Users and items that occur less often in train become unknown, as
            are those that train lacks: most items of test. Histories count too.
        data_dir: A folder that holds rating_with_timestamp.mat.

    Reference: Tang et al., WSDM 2012 and KDD 2012.
    Differs from the paper: the paper predicts trust, not ratings; the tasks are ours.
    """
    at_least(0, "data", history=history)
    (path,) = find_files("ciao", [FILE], data_dir, HOW, SHA256)
    options = {"history": history, "min_count": min_count}

    def chunks() -> Chunks:
        table = read_ratings(path, history)
        for first in range(0, len(table), ROWS):
            yield Chunk(table.slice(first, ROWS), str(path), first)

    identity = {"kind": "ciao", **options, "sha256": SHA256}
    return Source(make_schema(**options), chunks, identity, TERMS)


def make_schema(history: int, min_count: int) -> Schema:
    """Describes the columns."""
    fields = [
        Field("user", min_count=min_count),
        Field("item", min_count=min_count),
        Field("category"),
    ]
    if history:
        fields.append(Field("history", "sequence", max_length=history, table="item"))
    return Schema(
        fields=tuple(fields),
        tasks=TASKS,
        split=Split(by="time", column="time"),
        domain="category",
        unseen_domain=LARGEST,
        user="user",
        ignored=("*",),
        leaking=("rating", "helpfulness"),
    )


def read_ratings(path, history: int) -> pa.Table:
    """Reads the rows of the file in its order; adds the column `history` of lists."""
    from scipy import io  # slow to load, and `ple-jax datasets` does not need it

    columns = dict(zip(COLUMNS, io.loadmat(path)["rating"].T, strict=True))
    table = pa.table({name: np.ascontiguousarray(c) for name, c in columns.items()})
    if not history:
        return table
    lists = histories(columns["user"], columns["item"], columns["time"], history)
    return table.append_column("history", lists)


def histories(
    user: np.ndarray, item: np.ndarray, time: np.ndarray, most: int
) -> pa.ListArray:
    """For each row, the last items of its user at strictly earlier times, oldest first.

    Args:
        user: The user of each row (B,).
        item: The item of each row (B,).
        time: The time of each row (B,); rows at the same time are no history.
        most: Length of the longest history.
    """
    order = np.lexsort((time, user))  # stable: equal times stay in the file's order
    user, item, time = user[order], item[order], time[order]
    user_starts = np.r_[True, user[1:] != user[:-1]]
    time_starts = user_starts | np.r_[True, time[1:] != time[:-1]]
    end = _latest(time_starts)  # a history ends where the row's own time starts
    start = np.maximum(_latest(user_starts), end - most)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return _slices(item, start[place], end[place])


def _latest(starts: np.ndarray) -> np.ndarray:  # (B,) bool -> (B,) int64
    """The nearest place at or before each place where `starts` is true."""
    return np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))


def _slices(values: np.ndarray, start: np.ndarray, end: np.ndarray) -> pa.ListArray:
    """The list values[start[b]:end[b]] for each b."""
    lengths = end - start
    offsets = np.r_[0, np.cumsum(lengths)]
    places = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], lengths)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values[places])


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    domains = {str(1 + i): size for i, size in enumerate(SIZES)}
    domains[LARGEST] += domains.pop(LATE)
    return {
        "summary": "Ciao: product ratings by category, with histories",
        "rows": 284_086,
        "tasks": {"like": 0.8004, "helpful": 0.6976},
        "domains": domains,
        "source": f"your copy of {FILE}",
        "terms": TERMS,
    }
