"""A run on a file of raw rows, and the files that it scores and measures."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest
from lib.tables import SCHEMA, raw, write_csv
from lib.training import new_run

from ple_jax.data.prepare import prepare
from ple_jax.datasets import table
from ple_jax.train import loop


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """rows.csv, rows.parquet with other columns beside, and a run on rows.csv."""
    folder = tmp_path_factory.mktemp("columns")
    write_csv(folder / "rows.csv", raw())
    more = raw().append_column("key", [np.arange(397) + 2**40])
    more = more.append_column("kind", raw()["item"].dictionary_encode())
    more = more.append_column("list", [[[k] for k in range(397)]])
    pq.write_table(more, folder / "rows.parquet", row_group_size=100)
    schema = dataclasses.replace(SCHEMA, unseen_domain="own")
    made = table.source_of([folder / "rows.csv"], schema)
    data = prepare(made, folder / "prepared")
    train = {"epochs": 1, "eval_batch_size": 64}
    chosen = new_run(data, folder / "run", model={"kind": "shared_bottom"}, train=train)
    loop.fit(chosen)
    return folder
