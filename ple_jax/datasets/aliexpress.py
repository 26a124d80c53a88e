"""AliExpress: searches in five countries, with clicks and conversions.

Reads the tables that MTReclib makes of the raw files, such as AliExpress_NL/train.csv:
search_id, categorical_1 to _16, numerical_1 to _63, then click and conversion, or one
column `label` (0 shown, 1 clicked, 2 bought). Tested on made-up rows in that format
only, since the data were not available.

Source: Li et al., CIKM 2020; tianchi.aliyun.com/dataset/74690.
Terms: Tianchi shows its terms after login. We have not seen them, so assume research
use only.
"""

from typing import Any

import numpy as np
import pyarrow.compute as pc

from ple_jax.checks import check_known
from ple_jax.data.files import file_identity, find_files
from ple_jax.data.hashing import mix
from ple_jax.data.read import read
from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk, Chunks, Source
from ple_jax.schema import Field, Format, Schema, Split, Task

COUNTRIES = ("NL", "ES", "FR", "US", "RU")
PARTS = ("train", "test")
HOW = (
    "Download the raw files from tianchi.aliyun.com/dataset/74690 and convert them to "
    "these tables by preprocess.py of "
    "github.com/easezyc/Multitask-Recommendation-Library."
)
TERMS = "Tianchi's, not seen by us: research only; cite Li et al., CIKM 2020"
FIELDS = (
    *(Field(f"categorical_{i}") for i in range(1, 17)),
    *(Field(f"numerical_{i}", "numeric") for i in range(1, 64)),
)
# Conversion is predicted for all impressions (CTCVR), not for clicked ones only.
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
    """Predicts click and conversion of search results; the domain is the country.

    Args:
        countries: Any of NL, ES, FR, US and RU; MTReclib leaves out RU.
        validation: Share of train to use for validation, drawn at random by whole
            searches, because the impressions of one search are alike.
        seed: Seed of that draw.
        data_dir: The folder that holds AliExpress_NL/train.csv and so on.

    Reference: Li et al., CIKM 2020.
    Differs from the paper: validation is drawn from the official train file.
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
                # Countries reuse numbers of searches.
                search = pc.binary_join_element_wise(
                    country, chunk.table["search_id"], ":"
                )
                split = _splits(chunk, part, share, seed)
                yield _with_labels(chunk).with_columns(
                    search=search, country=country, split=split
                )

    identity = {"kind": "aliexpress", "validation": validation, "seed": seed}
    identity["files"] = [file_identity(path) for path in paths]
    return Source(SCHEMA, chunks, identity, TERMS)


def _with_labels(chunk: Chunk) -> Chunk:
    """Derives click and conversion from the column `label`, if the table has it."""
    if "label" not in chunk.table.column_names:
        return chunk
    rows = Rows(chunk, Format())
    label = rows.numbers("label")
    bad = ~np.isin(label, [0, 1, 2])
    if bad.any():
        raise rows.error("label", bad.argmax(), "0, 1 or 2")
    return chunk.with_columns(click=np.int8(label >= 1), conversion=np.int8(label == 2))


def _splits(chunk: Chunk, part: str, share: float, seed: int) -> np.ndarray:
    """Assigns a share of the searches to validation, by a hash of their number."""
    search = Rows(chunk, Format()).times("search_id").values  # refuses missing ones
    uniform = mix(search.astype(np.uint64), seed) / 2.0**64
    return np.where(uniform < share, "validation", part)


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "AliExpress: clicks and conversions by country; format tested only",
        "tasks": {task.name: None for task in TASKS},
        "domains": {country: None for country in COUNTRIES},
        "source": "your copy of AliExpress_*/{train,test}.csv",
        "terms": TERMS,
    }
