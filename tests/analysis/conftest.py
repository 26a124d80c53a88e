"""A sweep of two models with two seeds each, that all tests of analyses read."""

import numpy as np
import pyarrow as pa
import pytest
from lib.tables import write_csv
from lib.training import TINY, call, new_run

from ple_jax import config
from ple_jax.data.prepare import prepare
from ple_jax.datasets import table
from ple_jax.runs.directory import create_run
from ple_jax.schema import Field, Schema, Split, Task
from ple_jax.studies.sides import sides_of
from ple_jax.train import loop

KINDS = ["ple", "shared_bottom"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory, prepared):
    """The sweep in `kinds`, and a run of other data in `other`."""
    folder = tmp_path_factory.mktemp("analysed")
    sections = dict(TINY)
    sections["data"] = {"kind": "synthetic", "examples": 701}
    sections["model"] = {"kind": KINDS[0], "expert_dims": [7], "tower_dims": [5]}
    sections["train"] = TINY["train"] | {"epochs": 1}
    experiment = config.from_dict(sections)
    other = create_run(
        folder / "other", experiment, prepared("synthetic", examples=509)
    )
    other.write_result({"validation": {}})
    (folder / "kinds.toml").write_text(config.to_toml(experiment))
    asked = ["--sweep.model.kind", *KINDS, "--train.seeds", "2"]
    place = folder / "kinds"
    assert not call("train", folder / "kinds.toml", "--run-dir", place, *asked)
    return folder


@pytest.fixture(scope="session")
def sides(folder):
    """PLE, and the shared bottom."""
    return sides_of([folder / "kinds"])


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Rows of a file, and a run on it: clicks depend on `item` and `tags` alone."""
    rng, rows = np.random.default_rng(0), 1999
    item, tags = rng.integers(0, 7, rows), rng.integers(0, 5, (rows, 2))
    chance = 1 / (1 + np.exp(3.0 - item - 3 * (tags == 0).any(axis=1)))
    price = np.where(rng.random(rows) < 0.1, np.nan, rng.exponential(9, rows))
    raw = pa.table(
        {
            "item": [f"i{k}" for k in item],
            "noise": [f"n{k}" for k in rng.integers(0, 11, rows)],
            "price": ["" if np.isnan(p) else f"{p:.2f}" for p in price],
            "tags": ["|".join(f"t{k}" for k in {*row}) for row in tags.tolist()],
            "store": [f"s{k}" for k in rng.integers(0, 3, rows)],
            "click": np.where(rng.random(rows) < chance, "1", "0"),
            "key": [f"{k % 211}" for k in range(rows)],
            "maker": [f"m{k}" for k in rng.integers(0, 29, rows)],
        }
    )
    folder = tmp_path_factory.mktemp("shop")
    write_csv(folder / "rows.csv", raw)
    fields = (
        Field("item", encodings=("id",)),
        Field("noise", encodings=("id",), min_count=2),
        Field("price", "numeric", encodings=("buckets", "log"), bins=5),
        Field("tags", "multi_valued"),
    )
    split = Split(by="random", seed=3, fractions=(0.6, 0.2, 0.2))
    ignored = ("key", "maker")
    schema = Schema(fields, (Task("click"),), split, domain="store", ignored=ignored)
    made = table.source_of([folder / "rows.csv"], schema)
    sections = {"model": {"kind": "shared_bottom"}, "train": {"learning_rate": 0.03}}
    run = new_run(prepare(made, folder / "prepared"), folder / "run", **sections)
    loop.fit(run)
    return raw, run
