"""Each engine that is installed: the same results, and the same data set."""

import operator
import os
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from lib.engines import NEEDS, installed
from lib.tables import SCHEMA, raw, write_csv

from ple_jax import engines
from ple_jax.data import file_ranges
from ple_jax.data.prepare import prepare
from ple_jax.datasets.table import source_of


@pytest.fixture(scope="module", params=engines.available())
def engine(request):
    with engines.started(installed(request.param), 2) as engine:
        yield engine


# Functions of Python's own, since an engine's processes may not find those of a test.


def test_calls_come_back_in_order_and_merge(engine):
    assert engine.workers >= 2
    negative = engines.call_each(engine, operator.neg, list(range(7)))
    assert negative == [*range(0, -7, -1)]
    merged = engines.merge_each(engine, operator.neg, operator.add, list(range(7)))
    assert merged == -21
    assert engines.merge_each(engine, operator.neg, operator.add, [5]) == -5


def test_a_fault_comes_back_as_it_was_raised(engine):
    for call in (
        lambda: engines.call_each(engine, int, ["1", "<b>"]),
        lambda: engines.merge_each(engine, int, operator.add, ["1", "<b>", "2"]),
    ):
        with pytest.raises(ValueError, match=r"^invalid literal for int.*: '<b>'$"):
            call()


def test_the_data_set_is_that_of_one_process(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(file_ranges, "GRAIN", 40)
    pq.write_table(raw(211), tmp_path / "a.parquet", row_group_size=37)
    write_csv(tmp_path / "b.csv", raw(83, seed=1))
    made = source_of([tmp_path / "a.parquet", tmp_path / "b.csv"], SCHEMA)
    alone = prepare(made, tmp_path / "alone")
    other = prepare(made, tmp_path / "other", engine=engine)
    assert (other.fingerprint, other.facts) == (alone.fingerprint, alone.facts)


@pytest.mark.parametrize("kind", NEEDS)
def test_an_engine_that_is_not_installed_names_its_extra(kind, monkeypatch):
    name = {"spark": "pyspark.sql"}.get(kind, NEEDS[kind])
    monkeypatch.setitem(sys.modules, name, None)
    with (
        pytest.raises(ValueError, match=rf"pip install 'ple-jax\[{kind}\]'"),
        engines.started(kind, 2),
    ):
        pass


def test_one_local_worker_needs_no_engine():
    with engines.started("local", 1) as engine:
        assert engine is None


def test_a_worker_that_is_killed_is_said():
    with (
        pytest.raises(ValueError, match="A worker was killed before its end"),
        engines.started("local", 2) as engine,
    ):
        engines.call_each(engine, die, [0, 1])


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_naming_engines_imports_none():
    program = (
        "import sys; from ple_jax import engines; engines.available(); "
        "sys.exit(any(m in sys.modules for m in ('pyspark', 'ray', 'distributed')))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
