"""Ali-CCP: 85 million impressions in Taobao, with clicks and purchases.

Reads the tables that torch-rechub and Scenario-Wise Rec make of the raw files: 23
sparse columns, 8 dense ones, and no purchase without a click. Tested on their 100-row
samples only, since the full data were not available.

Source: Ma et al., SIGIR 2018; tianchi.aliyun.com/dataset/408.
Terms: Tianchi shows its terms after login. We have not seen them, so assume research
use only.
"""

from typing import Any

from ple_jax.data.files import file_identity, find_files
from ple_jax.data.read import read
from ple_jax.data.source import Chunks, Source
from ple_jax.schema import Field, Schema, Split, Task
from ple_jax.splits import SPLITS

HOW = (
    "Download the raw files from tianchi.aliyun.com/dataset/408 (Ali-CCP) and convert "
    "them to these tables by torch-rechub's examples/ranking/data/ali-ccp."
)
TERMS = "Tianchi's, not seen by us: research only; cite Ma et al., SIGIR 2018"
CATEGORICAL = """
    101 121 122 124 125 126 127 128 129 205 206 207 210 216 508 509 702 853 301
    109_14 110_14 127_14 150_14
""".split()
NUMERIC = "D109_14 D110_14 D127_14 D150_14 D508 D509 D702 D853".split()
TASKS = (Task("click"), Task("purchase", given="click"))


def build(
    train: str = "ali_ccp_train.csv",
    validation: str = "ali_ccp_val.csv",
    test: str = "ali_ccp_test.csv",
    min_count: int = 10,
    data_dir: str | None = None,
) -> Source:
    """Predicts click, and purchase given a click; the domain is field 301.

    Args:
        train: File of the train split, .csv or .csv.gz.
        validation: File of the validation split, usually half of the official test
            split.
        test: File of the test split, usually the other half.
        min_count: Values that occur less often in train become unknown.
        data_dir: The folder that holds the three files.

    Reference: Ma et al., SIGIR 2018.
    Differs from the paper: multi-valued fields hold one value, and the rarest values
        are unknown, as in AITM (Xi et al., KDD 2021).
    """
    paths = find_files("ali_ccp", [train, validation, test], data_dir, HOW)
    schema = Schema(
        fields=(
            *(Field(name, min_count=min_count) for name in CATEGORICAL),
            *(Field(name, "numeric") for name in NUMERIC),
        ),
        tasks=TASKS,
        split=Split(by="column", column="split"),
        domain="301",
        ignored=("*",),
    )
    raw = Schema(schema.fields, TASKS, ignored=("*",))

    def chunks() -> Chunks:
        for split, path in zip(SPLITS, paths, strict=True):
            for chunk in read([path], raw):
                yield chunk.with_columns(split=split)

    files = [file_identity(path) for path in paths]
    return Source(schema, chunks, {"kind": "ali_ccp", "files": files}, TERMS)


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "Ali-CCP: impressions, clicks and purchases; tested on samples only",
        "tasks": {task.name: None for task in TASKS},
        "source": "your copy of ali_ccp_{train,val,test}.csv",
        "terms": TERMS,
    }
