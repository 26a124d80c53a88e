"""AliExpress, on made-up rows of its format."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest
from lib.prepared import domain_sizes, over_all, sizes, whole

from ple_jax.data.prepare import prepare
from ple_jax.datasets import aliexpress


def write_aliexpress(root, country, part, one_label, rows=60):
    rng = np.random.default_rng(ord(country[0]))
    folder = root / f"AliExpress_{country}"
    folder.mkdir(exist_ok=True)
    columns = {"search_id": np.arange(rows) // 3}
    columns |= {f"categorical_{i}": rng.integers(0, 4, rows) for i in range(1, 17)}
    columns |= {f"numerical_{i}": rng.normal(size=rows) for i in range(1, 64)}
    label = np.arange(rows) % 3
    both = {"click": np.int8(label > 0), "conversion": np.int8(label > 1)}
    columns |= {"label": label} if one_label else both
    pyarrow.csv.write_csv(pa.table(columns), folder / f"{part}.csv")


@pytest.mark.parametrize("one_label", [False, True])
def test_aliexpress_reads_its_format(tmp_path, one_label):
    for country in ("NL", "ES"):
        for part in ("train", "test"):
            write_aliexpress(tmp_path, country, part, one_label)
    source = aliexpress.build(("NL", "ES"), validation=0.3, data_dir=str(tmp_path))
    data = prepare(source, tmp_path / "prepared")
    train, validation, test = sizes(data)
    assert (train + validation, test) == (120, 120)
    assert domain_sizes(data) == {"NL": 120, "ES": 120}
    labels = over_all(data, "labels")
    assert labels.sum(axis=0).tolist() == [160, 80]
    assert over_all(data, "observed").all()  # CTCVR: asked of all impressions
    table = whole(source)
    search = lambda split: set(
        table.filter(pc.equal(table["split"], split))["search"].to_pylist()
    )
    assert not search("train") & search("validation")  # no search on both sides


def test_aliexpress_explains_mistakes(tmp_path):
    with pytest.raises(ValueError, match="Known: NL, ES, FR, US, RU"):
        aliexpress.build(("UK",))
    with pytest.raises(ValueError, match=r"AliExpress_NL/train.csv"):
        aliexpress.build(data_dir=str(tmp_path))
