"""Changed CSV, Parquet and TOML: an error, or every row; never a traceback."""

import csv
import functools
import io
import pathlib
import resource

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from lib.attempts import attempt, is_refused
from lib.mutations import mutated, mutated_toml
from lib.tables import SCHEMA, SCHEMA_TEXT, raw, write_csv

from ple_jax import config
from ple_jax.data.encode import Counts, Encoder
from ple_jax.data.read import read
from ple_jax.data.rows import Rows
from ple_jax.data.schema_file import read_schema

BLOCK = 250  # mutations a test; there are 8 tests of a kind: 2,000 times --faults
REFUSED = (ValueError, OSError, FloatingPointError)  # what becomes status 2
EXPERIMENT = """
[data]
kind = "synthetic"
examples = 300
[model]
kind = "ple"
expert_dims = [8, 4]
tower_dims = [4]
num_levels = 2
dropout_rate = 0.1
[weighting]
kind = "schedule"
ratios = [0.9, 1.1]
[inputs]
embedding_dim = 4
[train]
epochs = 3
batch_size = 32
learning_rate = 0.01
metric = "auc_roc/click"
schedule = "cosine"
patience = 2
[sweep.train]
learning_rate = [0.01, 0.1]
"""


@pytest.fixture(autouse=True)
def little_memory():
    """Asking for much memory is a MemoryError: no sizes of a file are believed."""
    now = int(pathlib.Path("/proc/self/statm").read_text().split()[5])
    kept = resource.getrlimit(resource.RLIMIT_DATA)
    most = now * resource.getpagesize() + (2 << 30)
    resource.setrlimit(resource.RLIMIT_DATA, (most, kept[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, kept)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The rows that are changed, as CSV and as Parquet with checksums of its pages."""
    folder = tmp_path_factory.mktemp("table")
    write_csv(folder / "rows.csv", raw(40))
    pq.write_table(raw(40), folder / "rows.parquet", write_page_checksum=True)
    return folder


def tables_of(path, schema=SCHEMA):
    """All rows of a file, read and encoded as `prepare` does."""
    counts, chunks = Counts(schema), list(read([path], schema))
    rows = [Rows(chunk, schema.format) for chunk in chunks]
    for part in rows:
        counts.add(part)
    encoder = Encoder.fit(counts)
    for part in rows:
        encoder.encode(part)
    return [chunk.table for chunk in chunks]


def records(content: bytes) -> int:
    """The rows of a CSV file that Python finds, without blank lines and the header."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    return len([r for r in csv.reader(io.StringIO(text, newline="")) if r]) - 1


def each(seed):
    """(name of the case, its random numbers), for one test."""
    for number in range(seed * BLOCK, (seed + 1) * BLOCK):
        yield f"mutation {number}", np.random.default_rng(number)


def written(path: pathlib.Path, content: bytes) -> pathlib.Path:
    path.write_bytes(content)
    return path


@pytest.mark.drawn(8)
def test_csv_gives_each_record_or_an_error(seed, table, tmp_path):
    whole, wrong = (table / "rows.csv").read_bytes(), []
    for name, rng in each(seed):
        path = written(tmp_path / "rows.csv", mutated(whole, rng))
        try:
            rows = sum(map(len, tables_of(path)))
        except REFUSED:
            continue
        except Exception as error:
            wrong.append(f"{name}: {error!r}")
            continue
        if rows != (wanted := records(path.read_bytes())):
            wrong.append(f"{name}: {rows} rows, expected {wanted}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_control_that_skips_bad_lines_is_caught(table, tmp_path, monkeypatch):
    skipping = {"invalid_row_handler": lambda row: "skip"}
    careless = functools.partial(pyarrow.csv.ParseOptions, **skipping)
    monkeypatch.setattr(pyarrow.csv, "ParseOptions", careless)
    with pytest.raises(AssertionError, match=r"\d rows, expected"):
        test_csv_gives_each_record_or_an_error(0, table, tmp_path)


def values(table):
    """Its values; one bit of a file can call its text bytes, which read the same."""
    text = lambda value: value.decode() if isinstance(value, bytes) else value
    return {k: [text(v) for v in column] for k, column in table.to_pydict().items()}


@pytest.mark.drawn(8)
def test_parquet_gives_the_same_values_or_an_error(seed, table, tmp_path):
    whole, wrong = (table / "rows.parquet").read_bytes(), []
    for name, rng in each(seed):
        path = written(tmp_path / "rows.parquet", mutated(whole, rng))
        try:
            found = pa.concat_tables(tables_of(path))
        except REFUSED:
            continue
        except Exception as error:
            wrong.append(f"{name}: {error!r}")
            continue
        if values(found) != values(raw(40)):
            wrong.append(f"{name}: other values")
    assert not wrong, "\n".join(wrong)


def test_a_control_without_page_checksums_is_caught(table, tmp_path, monkeypatch):
    opened = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda path, **checks: opened(path))
    with pytest.raises(AssertionError, match="other values"):
        test_parquet_gives_the_same_values_or_an_error(0, table, tmp_path)


@pytest.mark.drawn(8)
def test_a_schema_is_used_or_refused(seed, table, tmp_path):
    wrong = []
    for name, rng in each(seed):
        text = mutated_toml(SCHEMA_TEXT, rng)
        path = written(tmp_path / "schema.toml", text.encode(errors="replace"))
        try:
            tables_of(table / "rows.csv", read_schema(path))
        except REFUSED:
            continue
        except Exception as error:
            wrong.append(f"{name}: {error!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.drawn(8)
def test_an_experiment_is_read_or_refused(seed, tmp_path):
    wrong = []
    for name, rng in each(seed):
        text = mutated_toml(EXPERIMENT, rng)
        path = written(tmp_path / "tiny.toml", text.encode(errors="replace"))
        try:
            tree, _ = config.sweep.taken(config.load(path))
            config.to_toml(config.from_dict(tree))
        except REFUSED:
            continue
        except Exception as error:
            wrong.append(f"{name}: {error!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.drawn(20)
def test_a_changed_file_is_prepared_whole_or_refused(seed, table, tmp_path):
    """By the command itself, on all three kinds of file."""
    rng = np.random.default_rng(seed)
    for name in ("rows.csv", "rows.parquet"):
        change = mutated if rng.random() < 0.7 else lambda whole, rng: whole
        written(tmp_path / name, change((table / name).read_bytes(), rng))
    (tmp_path / "schema.toml").write_text(mutated_toml(SCHEMA_TEXT, rng))
    rows = tmp_path / ("rows.csv", "rows.parquet")[seed % 2]
    experiment = f'[data]\nkind = "table"\nschema = "{tmp_path}/schema.toml"\n'
    (tmp_path / "tiny.toml").write_text(f'{experiment}files = ["{rows}"]\n')
    tried = attempt("prepare", tmp_path / "tiny.toml", "--out", tmp_path / "out")
    assert tried.status == 0 or is_refused(tried), tried
    assert (tmp_path / "out").exists() == (tried.status == 0)
    assert not list(tmp_path.glob(".partial*"))
