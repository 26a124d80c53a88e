"""Tasks and domains of any name: no path is made of them, and the terminal is safe."""

import json
import re

import numpy as np
import pytest
from lib.training import call

NAMES = [
    "../../evil",
    "/etc/evil",
    "a/b",
    "[/red]",
    "[red]x",
    "\x1b[31mx",
    "two\nlines",
    "\u202eevil.\x9b31m",
]
EXPERIMENT = """\
[data]
kind = "table"
schema = "schema.toml"
files = ["rows.parquet"]
[model]
expert_dims = [3]
tower_dims = []
[inputs]
embedding_dim = 2
per_domain = true
[train]
batch_size = 64
epochs = 1
devices = 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An experiment on a table with these tasks, domains and values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    inside = tmp_path / "one" / "two" / "three"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    monkeypatch.setenv("PLE_JAX_CACHE", str(inside / "cache"))
    rng = np.random.default_rng(0)
    columns = {name: rng.integers(0, 2, 601) for name in NAMES}
    columns |= {
        c: [NAMES[i] for i in rng.integers(0, 8, 601)] for c in ("shop", "item")
    }
    pq.write_table(pa.table(columns), "rows.parquet")
    tasks = "".join(f"[[tasks]]\nname = {json.dumps(name)}\n" for name in NAMES)
    split = '[split]\nby = "random"\n'
    text = f'categorical = ["item"]\ndomain = "shop"\n{tasks}{split}'
    (inside / "schema.toml").write_text(text)
    (inside / "odd.toml").write_text(EXPERIMENT)
    return inside


def test_odd_tasks_and_domains_train_and_stay_names(folder, capsys, tmp_path):
    assert call("train", "odd.toml", "--run-dir", "run") == 0
    assert call("evaluate", "run") == 0
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
        assert "[/red]" in text
        assert "[red]x" in text
        assert r"two\nlines" in text
    result = json.loads((folder / "run" / "result.json").read_text())
    assert set(result["test"]["tasks"]) == set(NAMES)
    assert set(result["test"]["domains"]) == set(NAMES)
    outside = [p for p in tmp_path.rglob("*") if folder not in (p, *p.parents)]
    assert {p.name for p in outside} == {"one", "two"}
    odd = re.compile(r"evil|lines|[^\w.,=~+-]")
    assert not [p for p in folder.rglob("*") if odd.search(p.name)]
