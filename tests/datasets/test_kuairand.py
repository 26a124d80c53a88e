"""KuaiRand, on a sample and on made-up rows."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from lib.prepared import domain_sizes, over_all, sizes
from lib.tables import built

from ple_jax.data.prepare import prepare
from ple_jax.datasets import kuairand


def test_kuairand_reads_the_sample(tmp_path):
    options = {"files": ("fixtures/kuairand_sample.csv",), "tasks": ("is_click",)}
    source = built(kuairand, **options, split="random")
    data = prepare(source, tmp_path / "prepared")
    assert domain_sizes(data) == {"1": 200}
    assert over_all(data, "labels").sum() == 32
    names = {field.name for field in source.schema.fields}
    assert len(names) == 42 - 1 - 3  # all but the click and what playing tells
    assert not names & set(kuairand.LEAKING)
    with pytest.raises(ValueError, match="no column 'date'"):
        next(kuairand.build(**options).chunks())


def test_kuairand_splits_by_date_and_keeps_some_tabs(tmp_path):
    rows, rng = 90, np.random.default_rng(0)
    ids = {name: rng.integers(0, 9, rows) for name in ("user_id", "video_id")}
    feedback = {name: np.arange(rows) % 2 for name in kuairand.FEEDBACK}
    date = 20220503 + np.arange(rows) // 15
    tab = np.arange(rows) % 3
    log = pa.table(ids | feedback | {"date": date, "tab": tab, "play_time_ms": date})
    pyarrow.csv.write_csv(log, tmp_path / "log.csv")
    source = kuairand.build(("log.csv",), tabs=("0", "1"), data_dir=str(tmp_path))
    data = prepare(source, tmp_path / "prepared")
    assert sizes(data) == [20, 20, 20]
    assert set(data.layout.domains) == {"0", "1"}
    with pytest.raises(ValueError, match="Did you mean 'is_like'"):
        kuairand.build(tasks=("like",))
