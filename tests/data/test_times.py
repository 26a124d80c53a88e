"""Times: one kind a data set, none missing, the same from text and from Parquet."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from lib.tables import SCHEMA, raw

from ple_jax.data.prepare import prepare
from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk, Source
from ple_jax.data.times import NAIVE, NUMBER, ZONED
from ple_jax.schema import Format, Schema, Split

NOON = datetime.datetime(2024, 5, 1, 12)
MICROSECONDS = NOON.replace(tzinfo=datetime.UTC).timestamp() * 1e6


def times(values):
    return Rows(Chunk(pa.table({"t": values}), "file"), Format()).times("t")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("2024-05-01T12:00:00", NAIVE),
        ("2024-05-01 12:00", NAIVE),
        (" 2024-05-01T12:00:00.000000999 ", NAIVE),
        ("2024-05-01T12:00:00Z", ZONED),
        ("2024-05-01T14:00:00+02:00", ZONED),
        ("2024-05-01 07:30:00.000-0430", ZONED),
        ("2024-05-01T12:00:00.000000999Z", ZONED),
        (pa.scalar(NOON, pa.timestamp("s")), NAIVE),
        (pa.scalar(NOON, pa.timestamp("us", "UTC")), ZONED),
        (pa.scalar(NOON, pa.timestamp("ns", "Europe/Berlin")), ZONED),
        (MICROSECONDS, NUMBER),
        (str(int(MICROSECONDS)), NUMBER),
    ],
)
def test_a_time_is_the_same_in_text_and_in_parquet(value, kind):
    column = pa.array([value]) if isinstance(value, str | float) else None
    if column is None:
        column = pa.array([value.as_py()], value.type)
    found = times(column)
    assert found.kind == kind
    np.testing.assert_array_equal(found.values, [MICROSECONDS])


def test_nanoseconds_keep_their_order():
    after = pa.array([1_700_000_000_000_000_999, 1_700_000_000_000_001_000])
    values = times(after.cast(pa.timestamp("ns"))).values
    assert values[0] < values[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, float("nan"), 2.0], "row 2, column 't': expected a number, got nan"),
        ([1.0, None], "row 2, column 't': expected a number, got None"),
        ([1.0, float("inf")], "row 2, column 't': expected a number, got inf"),
        (["1", "2", "nan"], "row 3, column 't': expected a number, got 'nan'"),
        (["1", ""], "row 2, column 't': expected a number, got ''"),
        (["2024-05-01", "1"], "row 2, column 't': expected a time without a zone, got"),
        (["2024-05-01", "2024-05-01T00:00:00Z"], "row 2, .* without a zone, got"),
        (["2024-05-01T00:00:00Z", "2024-05-01"], "row 2, .* time with a zone, got"),
        (["noon"], "row 1, .* expected a number or an ISO 8601 time, got 'noon'"),
        ([NOON, None], "row 2, .* expected a time without a zone, got None"),
        ([True], "expected numbers, dates, .* got the type bool"),
        (pa.array([2**62]).cast(pa.timestamp("s")), "row 1, .* got '<value out of"),
    ],
)
def test_what_is_no_time_of_one_kind_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        times(values)


@pytest.mark.parametrize(
    "later", [pa.array([NOON] * 50), pa.array(["2024-05-01T00:00:00Z"] * 50)]
)
def test_two_kinds_of_times_are_refused_with_both_files(tmp_path, later):
    first = raw(50).append_column("when", pa.array(range(50)))
    second = raw(50).append_column("when", later)
    schema = Schema(SCHEMA.fields, SCHEMA.tasks, Split("time", "when"), ignored=("*",))
    chunks = lambda: iter([Chunk(first, "a.parquet"), Chunk(second, "b.parquet")])
    message = r"'when' holds a number in a\.parquet, but a time with.* in b\.parquet"
    with pytest.raises(ValueError, match=message):
        prepare(Source(schema, chunks, {}), tmp_path / "out")
    assert not (tmp_path / "out").exists()
