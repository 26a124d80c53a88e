"""Files that cannot grow: one sentence, nothing that looks whole, nothing left over."""

from functools import partial

import numpy as np
import pytest
from lib.attempts import is_refused
from lib.in_child import limit_files, write_in_place
from lib.snapshots import differences, held
from lib.tables import raw, write_csv

MOST_LINES = 15  # of what is said: an error is no flood


def limit(seed: int, least: int, most: int):
    """A fault: no file may be longer than some number of bytes."""
    rng = np.random.default_rng([seed, most])
    size = int(np.exp(rng.uniform(np.log(least), np.log(most))))
    print(f"files end at {size} bytes")
    return partial(limit_files, size)


def is_refused_briefly(ended) -> bool:
    return is_refused(ended) and len(ended.said.splitlines()) <= MOST_LINES


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.drawn(4)
def test_training_says_so_and_resumes_to_the_same_bits(seed, shared, whole, tmp_path):
    run = tmp_path / "run"
    ended = shared.train("lone", run, limit(seed, 3_000, 30_000))
    assert is_refused_briefly(ended) or ended.status == 0, ended.said
    assert names(tmp_path) == ["run"] * run.exists()
    if ended.status:
        assert not (run / "result.json").exists()
    again = shared.resume(run) if run.exists() else shared.train("lone", run)
    assert again.status == 0, again.said
    assert differences(held(run), whole("lone").held) == []


@pytest.mark.drawn(4)
def test_prepare_leaves_nothing(seed, shared, tmp_path):
    out = tmp_path / "out"
    fault = limit(seed, 1_000, 10_000)
    ended = shared.run("prepare", shared.experiment, "--out", out, faults=[fault])
    assert is_refused_briefly(ended) or ended.status == 0, ended.said
    assert names(tmp_path) == ["out"] * (ended.status == 0)


@pytest.mark.drawn(4)
def test_predict_leaves_nothing(seed, shared, whole, tmp_path):
    rows, out = tmp_path / "rows.csv", tmp_path / ("s.csv", "s.parquet")[seed % 2]
    write_csv(rows, raw(997))
    arguments = "predict", whole("lone").directory, rows, "--out", out
    ended = shared.run(*arguments, faults=[limit(seed, 1_000, 20_000)])
    assert is_refused_briefly(ended) or ended.status == 0, ended.said
    assert names(tmp_path) == sorted(["rows.csv"] + [out.name] * (ended.status == 0))


def test_a_control_that_writes_in_place_is_caught(shared, tmp_path):
    """The same check finds half a data set under its final name."""
    out, faults = tmp_path / "out", [write_in_place, partial(limit_files, 1_000)]
    ended = shared.run("prepare", shared.experiment, "--out", out, faults=faults)
    assert ended.status != 0
    assert names(tmp_path) == ["out"]
