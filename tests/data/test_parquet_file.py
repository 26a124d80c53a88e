"""Parquet files: memory is bounded by bytes, whatever a file's rows hold."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ple_jax.data import parquet_file
from ple_jax.data.parquet_file import cut, decoded_bytes, most_rows, parquet_tables
from ple_jax.data.read import read
from ple_jax.schema import Field, Schema, Task

SCHEMA = Schema((Field("s"),), (Task("y"),), ignored=("*",))


def repeated(text, rows):
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), [text])


def test_a_piece_holds_no_more_bytes_than_allowed():
    words = pa.array(["a" * 10, "b" * 100, "c" * 1000])
    codes = pa.array([0, 1, None, 2, 0, 0, 0], pa.int32())
    column = pa.DictionaryArray.from_arrays(codes, words)
    lists = pa.ListArray.from_arrays([0, 2, 2, 3, 5, 6, 7, 7], column)
    sizes = {"s": [10, 100, 0, 1000, 10, 10, 10], "l": [110, 0, 0, 1010, 10, 10, 0]}
    table = pa.table({"s": column, "l": lists})
    for name, expected in sizes.items():
        assert decoded_bytes(table[name]).tolist() == expected
    total = np.add(*sizes.values())
    for most in (1, 150, 2000, 10_000):
        pieces = list(cut(table, most))
        assert pa.concat_tables(pieces).equals(table)
        ends = np.cumsum([len(piece) for piece in pieces])
        for end, piece in zip(ends, pieces, strict=True):
            size = total[end - len(piece) : end].sum()
            assert size <= most or len(piece) == 1


def test_pieces_are_the_file(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in range(50)]
    table = pa.table(
        {
            "a.b": rng.choice(words, 1009),
            "n": rng.integers(0, 9, 1009),
            "l": [list(rng.choice(words, k % 4)) for k in range(1009)],
        }
    )
    pq.write_table(table, file := tmp_path / "x.parquet", row_group_size=100)
    monkeypatch.setattr(parquet_file, "MOST_BYTES", 512)
    pieces = list(parquet_tables(file))
    assert pa.concat_tables(pieces).to_pylist() == table.to_pylist()
    assert max(map(len, pieces)) < 100


def test_rows_at_once_are_bounded_by_what_numbers_take(tmp_path, monkeypatch):
    column = pa.array(np.zeros(1 << 17))
    lists = pa.FixedSizeListArray.from_arrays(np.zeros(1 << 19, np.float32), 4)
    table = pa.table([column] * 62 + [lists], [f"c{k}" for k in range(63)])
    pq.write_table(table, file := tmp_path / "x.parquet")
    assert file.stat().st_size < 100_000
    monkeypatch.setattr(parquet_file, "MOST_BYTES", 1 << 24)
    each = (1 << 24) / most_rows(pq.ParquetFile(file))
    assert each == pytest.approx(62 * 8 + 4 * 4, rel=0.01)


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_rows_at_once_are_bounded_by_what_lists_take(tmp_path, kind):
    items = pa.array(np.zeros(1 << 20, np.int8)).cast(kind)
    lists = pa.ListArray.from_arrays(np.arange(0, (1 << 20) + 1, 1 << 12), items)
    pq.write_table(pa.table({"l": lists}), file := tmp_path / "x.parquet")
    assert file.stat().st_size < 100_000
    wide = 4 if kind == pa.string() else 8  # a code, or the number
    options = {"read_dictionary": ["l.list.element"]} if kind == pa.string() else {}
    each = parquet_file.MOST_BYTES / most_rows(pq.ParquetFile(file, **options))
    assert each == pytest.approx(wide << 12, rel=0.03)


def test_a_code_beyond_its_dictionary_is_damage():
    """Arrow does not look at the codes of a damaged file."""
    codes = pa.array([0, 2], pa.int32())
    column = pa.DictionaryArray.from_arrays(codes, ["a", "b"], safe=False)
    with pytest.raises(ValueError, match="a code is beyond its dictionary"):
        decoded_bytes(pa.chunked_array([column]))


READ = """
import sys
from ple_jax.data import parquet_file
from ple_jax.data.read import read
from ple_jax.data.rows import Rows
from ple_jax.schema import Field, Schema, Task
_, kind, file = sys.argv
schema, rows = Schema((Field("s", kind),), (Task("y"),)), 0
for chunk in read([file], schema):
    some = Rows(chunk, schema.format)
    some.text("s") if kind == "categorical" else some.lists("s", "|")
    rows += len(some)
print(rows)
"""


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    """A kind of field -> a file of a few kilobytes that holds 4 GB of its strings."""
    column = repeated("x" * 32768, 131072)
    places = pa.array(np.arange(0, 131073, 2), pa.int32())
    columns = {
        "categorical": column,
        "multi_valued": pa.ListArray.from_arrays(places, column),
    }
    folder = tmp_path_factory.mktemp("bombs")
    for kind, each in columns.items():
        table = pa.table({"s": each, "y": np.zeros(len(each), np.int8)})
        # Without Arrow's schema, nothing says that a string is a dictionary's.
        pq.write_table(table, folder / f"{kind}.parquet", store_schema=False)
    return lambda kind: folder / f"{kind}.parquet"


@pytest.mark.parametrize(
    ("kind", "rows"), [("categorical", 131072), ("multi_valued", 65536)]
)
def test_a_small_file_never_takes_much_memory(bomb, kind, rows):
    assert bomb(kind).stat().st_size < 100_000
    done = run_bounded(READ, kind, bomb(kind))
    assert (done.stdout.strip(), done.stderr) == (str(rows), "")


def test_control_strings_that_are_decoded_take_too_much(bomb):
    broken = "\nparquet_file._is_string = lambda column: False\nschema, rows"
    code = READ.replace("\nschema, rows", broken)
    done = run_bounded(code, "categorical", bomb("categorical"))
    assert done.returncode != 0


def run_bounded(code, *arguments, gigabytes=3):
    """Runs Python in so much address space."""
    limit = f'ulimit -v {gigabytes << 20}; exec "$@"'
    command = [
        "sh",
        "-c",
        limit,
        "sh",
        sys.executable,
        "-c",
        code,
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_columns_are_checked_before_rows(tmp_path):
    table = pa.table([pa.array(["a"]), pa.array(["b"]), pa.array([1])], ["s", "s", "y"])
    pq.write_table(table, file := tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet has the column 's', .* twice"):
        list(read([file], SCHEMA))
