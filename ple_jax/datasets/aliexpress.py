"""AliExpress: searches in five countries, with clicks and conversions.

Read as the tables that MTReclib makes of the raw files, AliExpress_NL/train.csv and so
on: search_id, categorical_1 to _16, numerical_1 to _63, then click and conversion, or
one column `label` (0 shown, 1 clicked, 2 bought). Tested on made-up rows of that format
only; the data could not be had.

Source: Li et al., CIKM 2020; tianchi.aliyun.com/dataset/74690.
Terms: Tianchi shows them to those who log in; unseen here, so for research only.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.checks import check_known
from ple_jax.data.files import file_identity, find_files
from ple_jax.data.read import read
from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk, Chunks, Source
from ple_jax.data.split import mix
from ple_jax.schema import Field, Format, Schema, Split, Task

COUNTRIES = ("NL", "ES", "FR", "US", "RU")
PARTS = ("train", "test")
HOW = (
    "The raw files are at tianchi.aliyun.com/dataset/74690; preprocess.py of "
    "github.com/easezyc/Multitask-Recommendation-Library makes these tables of them."
)
TERMS = "Tianchi's, unseen here: research only; cite Li et al., CIKM 2020"
FIELDS = (
    *(Field(f"categorical_{i}") for i in range(1, 17)),
    *(Field(f"numerical_{i}", "numeric") for i in range(1, 64)),
)
# A conversion is asked of all impressions (CTCVR), not of clicked ones alone.
TASKS = (Task("click"), Task("conversion"))

SCHEMA = Schema(
    fields=(*FIELDS, Field("country")),
    tasks=TASKS,
    split=Split(by="column", column="split"),
    domain="country",
    user="search",
    ignored=("*",),
    leaking=("label",),
)


def build(
    countries: tuple[str, ...] = ("NL", "ES", "FR", "US"),
    validation: float = 0.1,
    seed: int = 0,
    data_dir: str | None = None,
) -> Source:
    """Impressions in search results: clicked, and bought; the domain is the country.

    Args:
        countries: Any of NL, ES, FR, US and RU; MTReclib leaves out RU.
        validation: The share of train's searches, drawn at random, to choose by; whole
            searches, since the impressions of one are alike.
        seed: Of that draw.
        data_dir: The folder that holds AliExpress_NL/train.csv and its like.

    Reference: Li et al., CIKM 2020.
    Differs from the paper: validation comes out of the official train file.
    """
    for country in countries:
        check_known(country, COUNTRIES, "country of AliExpress")
    if not 0 < validation < 1:
        raise ValueError(f"data.validation must be in (0, 1), got {validation}.")
    files = [(c, part) for c in countries for part in PARTS]
    names = [f"AliExpress_{country}/{part}.csv" for country, part in files]
    paths = find_files("aliexpress", names, data_dir, HOW)

    def chunks() -> Chunks:
        raw = Schema((*FIELDS, Field("search_id")), TASKS, ignored=("*",))
        for (country, part), path in zip(files, paths, strict=True):
            share = validation if part == "train" else 0.0
            for chunk in read([path], raw, labels=False):
                chunk = _with_labels(chunk)
                yield _with_origin(chunk, country, _splits(chunk, part, share, seed))

    identity = {"kind": "aliexpress", "validation": validation, "seed": seed}
    identity["files"] = [file_identity(path) for path in paths]
    return Source(SCHEMA, chunks, identity, TERMS)


def _with_labels(chunk: Chunk) -> Chunk:
    """Click and conversion of the one column `label`, where there is one."""
    if "label" not in chunk.table.column_names:
        return chunk
    rows = Rows(chunk, Format())
    label = rows.numbers("label")
    bad = ~np.isin(label, [0, 1, 2])
    if bad.any():
        raise rows.error("label", bad.argmax(), "0, 1 or 2")
    table = chunk.table.append_column("click", pa.array(np.int8(label >= 1)))
    bought = pa.array(np.int8(label == 2))
    return chunk._replace(table=table.append_column("conversion", bought))


def _splits(chunk: Chunk, part: str, share: float, seed: int) -> np.ndarray:
    """`part`, or validation for a share of the searches, by a hash of their number."""
    search = Rows(chunk, Format()).times("search_id")  # missing ones are an error
    uniform = mix(search.astype(np.uint64), seed) / 2.0**64
    return np.where(uniform < share, "validation", part)


def _with_origin(chunk: Chunk, country: str, split: np.ndarray) -> Chunk:
    """The columns country, split and search; another country may reuse a number."""
    search = pc.binary_join_element_wise(country, chunk.table["search_id"], ":")
    table = chunk.table.append_column("search", search)
    table = table.append_column("country", pa.array(np.full(len(table), country)))
    return chunk._replace(table=table.append_column("split", pa.array(split)))


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows."""
    return {
        "summary": "AliExpress: clicks and conversions by country; format tested only",
        "rows": None,
        "tasks": {task.name: None for task in TASKS},
        "domains": {country: None for country in COUNTRIES},
        "source": "your copy of AliExpress_*/{train,test}.csv",
        "terms": TERMS,
    }
