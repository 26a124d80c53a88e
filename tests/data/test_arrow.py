"""Every Arrow type in every role: its values are those of Python, or it is refused."""

import datetime
from datetime import UTC, timedelta, timezone
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ple_jax.data import arrow
from ple_jax.data.labels import read_labels
from ple_jax.data.read import read_tables
from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk
from ple_jax.schema import Field, Format, Schema, Task

EPOCH = datetime.datetime(1970, 1, 1)
SQUARED = Schema((Field("f"),), (Task("x", loss="squared"),))
INTEGERS = [0, 1, None, 7, 1]
FRACTIONS = [0.5, -3.0, None, 120.0, 0.5]
TEXT = ["12", "7.5", None, " 1 ", "12"]
DECIMALS = [Decimal(d) if d else None for d in ("1.50", "-12", "", "120.25", "1.5")]
DATES = [datetime.date(2024, 5, 1), None, datetime.date(1969, 12, 31)]
MOMENTS = [datetime.datetime(2024, 5, 1, 12, 30, 7), None, EPOCH]
FINE = [datetime.datetime(2024, 5, 1, 12, 30, 7, 250000), None, EPOCH]
CLOCKS = [datetime.time(12, 30, 7), None, datetime.time(0, 0, 0)]
SPANS = [timedelta(seconds=90), None, timedelta(days=-1)]
LISTS = [["a", "b"], None, ["c", None]]
NUMBER_LISTS = [[1, 2], None, [3, None]]
BERLIN = timezone(timedelta(hours=2))  # in May


def zoned(moments, zone):
    return [
        None if m is None else m.replace(tzinfo=UTC).astimezone(zone) for m in moments
    ]


def of(kind):
    """Builds an array of a type."""
    return lambda values: pa.array(values, kind)


def dictionary(index, kind=None):
    """Builds a dictionary array whose indices and values have these types."""

    def build(values):
        coded = pa.array(values).dictionary_encode()
        words = coded.dictionary.cast(kind or coded.dictionary.type)
        return pa.DictionaryArray.from_arrays(coded.indices.cast(index), words)

    return build


def runs(values):
    """Builds an array of runs, the last of which has two rows."""
    ends = np.r_[np.arange(1, len(values) - 1), len(values)]
    return pa.RunEndEncodedArray.from_arrays(ends, pa.array(values[:-1]))


def extension(kind):
    """Builds an array of an extension type."""
    return lambda values: pa.ExtensionArray.from_storage(
        kind, pa.array(values, kind.storage_type)
    )


class Tagged(pa.ExtensionType):
    """An extension that Arrow does not know."""

    def __init__(self):
        super().__init__(pa.string(), "ple_jax.tagged")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()


WHOLE = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
]
BYTES = [None if v is None else v.encode() for v in TEXT]
TYPES = {
    **{kind: INTEGERS for kind in WHOLE},
    **{kind: FRACTIONS for kind in (pa.float16(), pa.float32(), pa.float64())},
    pa.bool_(): [True, None, False],
    **{kind: TEXT for kind in (pa.string(), pa.large_string(), pa.string_view())},
    **{kind: BYTES for kind in (pa.binary(), pa.large_binary(), pa.binary_view())},
    pa.binary(2): [b"12", None, b"7."],
    pa.null(): [None, None],
    pa.decimal32(7, 2): DECIMALS,
    pa.decimal64(9, 2): DECIMALS,
    pa.decimal128(38, 2): DECIMALS,
    pa.decimal256(60, 2): DECIMALS,
    pa.date32(): DATES,
    pa.date64(): DATES,
    **{pa.time32(unit): CLOCKS for unit in ("s", "ms")},
    **{pa.time64(unit): CLOCKS for unit in ("us", "ns")},
    pa.timestamp("s"): MOMENTS,
    **{pa.timestamp(unit): FINE for unit in ("ms", "us", "ns")},
    pa.timestamp("s", "UTC"): zoned(MOMENTS, UTC),
    pa.timestamp("ms", "Europe/Berlin"): zoned(FINE, BERLIN),
    pa.timestamp("us", "+02:00"): zoned(FINE, BERLIN),
    pa.timestamp("ns", "UTC"): zoned(FINE, UTC),
    **{pa.duration(unit): SPANS for unit in ("s", "ms", "us", "ns")},
    pa.list_(pa.string()): LISTS,
    pa.list_(pa.string_view()): LISTS,
    pa.list_(pa.large_string()): LISTS,
    pa.list_(pa.dictionary(pa.int8(), pa.string())): LISTS,
    pa.large_list(pa.string()): LISTS,
    pa.list_(pa.string(), 2): LISTS,
    pa.list_view(pa.string()): LISTS,
    pa.large_list_view(pa.string()): LISTS,
    pa.list_(pa.int8()): NUMBER_LISTS,
    pa.large_list(pa.float64()): NUMBER_LISTS,
    pa.list_(pa.float32(), 2): NUMBER_LISTS,
    pa.list_view(pa.int64()): NUMBER_LISTS,
    pa.list_(pa.bool_()): [[True], None, [False, None]],
    pa.list_(pa.date32()): [DATES, None, []],
    pa.list_(pa.null()): [[None], None, []],
}
# Name -> what builds a column, and its values in Python.
CASES = {
    **{str(kind): (of(kind), values) for kind, values in TYPES.items()},
    **{f"dictionary {kind}": (dictionary(kind), TEXT) for kind in WHOLE},
    "dictionary of 128": (dictionary(pa.int8()), [str(i) for i in range(128)]),
    "dictionary of int64": (dictionary(pa.int8()), INTEGERS),
    "dictionary of double": (dictionary(pa.int32()), FRACTIONS),
    "dictionary of views": (dictionary(pa.int8(), pa.string_view()), TEXT),
    "dictionary of dates": (dictionary(pa.int8()), DATES),
    "runs of text": (runs, ["7", None, "1", "1"]),
    "runs of numbers": (runs, [7, None, 1, 1]),
    "bool8": (extension(pa.bool8()), [1, 0, None]),
    "json": (extension(pa.json_()), ["7", None]),
    "tensor": (extension(pa.fixed_shape_tensor(pa.int8(), [2])), NUMBER_LISTS[:1]),
    "extension": (extension(Tagged()), TEXT),
}
CODES, MEMBERS = pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]
USELESS = {
    "list of lists": of(pa.list_(pa.list_(pa.string())))([[["a"]], None]),
    "list of structs": of(pa.list_(pa.struct([("a", pa.int8())])))([[{"a": 1}], None]),
    "list of durations": of(pa.list_(pa.duration("s")))([SPANS, None]),
    "struct": pa.array([{"a": 1, "b": "x"}, None]),
    "map": of(pa.map_(pa.string(), pa.int64()))([[("a", 1)], None]),
    "interval": of(pa.month_day_nano_interval())([(1, 2, 3), None]),
    "uuid": extension(pa.uuid())([bytes([255] * 16), None]),
    "sparse union": pa.UnionArray.from_sparse(CODES, MEMBERS),
    "dense union": pa.UnionArray.from_dense(CODES, CODES.cast(pa.int32()), MEMBERS),
}


def stored(array, folder):
    """The column in Parquet, if that has such a type, and as it is."""
    table = pa.table({"x": array})
    tables = [table]
    try:
        pq.write_table(table, file := folder / "x.parquet")
        tables += read_tables(file, Format())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        pass
    return [Rows(Chunk(each, "some.parquet", 10), Format()) for each in tables]


def text(value):
    """The oracle of a category."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return value.decode().strip()
    if isinstance(value, float | Decimal):
        shown = f"{value:f}"
        return shown.rstrip("0").rstrip(".") if "." in shown else shown
    if isinstance(value, datetime.datetime):
        value = value if value.tzinfo is None else value.astimezone(UTC)
        shown = value.strftime("%Y-%m-%d %H:%M:%S") + f".{value.microsecond:06}"
        return shown.rstrip("0").rstrip(".").removesuffix(" 00:00:00")
    return None if value is None else str(value).strip()


def number(value):
    """The oracle of a number: seconds for times."""
    if value is None:
        return None
    if isinstance(value, datetime.datetime):
        naive = (
            value
            if value.tzinfo is None
            else value.astimezone(UTC).replace(tzinfo=None)
        )
        return (naive - EPOCH).total_seconds()
    if isinstance(value, datetime.date):
        return (value - EPOCH.date()).total_seconds()
    if isinstance(value, datetime.time):
        return (datetime.datetime.combine(EPOCH, value) - EPOCH).total_seconds()
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def label(value):
    """The oracle of a label, which is a float32."""
    return None if value is None else float(np.float32(number(value)))


def bag(value):
    """The oracle of a column of lists."""
    items = value if isinstance(value, list) else [value]
    return [text(item) for item in items if item is not None]


def moment(value):
    """The oracle of a time: numbers as they are, others in microseconds."""
    return number(value) * (1e6 if isinstance(value, datetime.date) else 1)


def read_text(rows):
    codes, values = rows.text("x")
    return [values[int(c)].as_py() for c in codes]


def read_numbers(rows):
    return [None if np.isnan(v) else v for v in rows.numbers("x").tolist()]


def read_label(rows):
    labels, observed = read_labels(rows, SQUARED)
    pairs = zip(labels[:, 0].tolist(), observed[:, 0], strict=True)
    return [label if seen else None for label, seen in pairs]


def read_bags(rows):
    places, codes, values = rows.lists("x", "|")
    bags = [[] for _ in range(len(rows))]
    for row, code in zip(places.tolist(), codes.tolist(), strict=True):
        bags[row].append(values[code].as_py())
    return bags


def read_times(rows):
    return rows.times("x").values.tolist()


# Role -> how it is read, its oracle, and the Python types that it has no use for.
ROLES = {
    "category": (read_text, text, (list, timedelta)),
    "numeric": (read_numbers, number, (list,)),
    "label": (read_label, label, (list,)),
    "bag": (read_bags, bag, (timedelta,)),
    "time": (read_times, moment, (list, timedelta, datetime.time, bool, type(None))),
}


def refuses(reader, tables):
    where = r"some\.parquet, (row \d+, )?column 'x': expected .*, got "
    for rows in tables:
        with pytest.raises(ValueError, match=where):
            reader(rows)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", CASES)
def test_every_type_in_every_role_is_right_or_refused(name, role, tmp_path):
    build, values = CASES[name]
    reader, oracle, useless = ROLES[role]
    if role == "time" and any(v is not None for v in values):
        if None in values:
            refuses(reader, stored(build(values), tmp_path))
        values = [v for v in values if v is not None]  # as a time must not be missing
    tables = stored(build(values), tmp_path)
    if any(isinstance(v, useless) for v in values):
        return refuses(reader, tables)
    expected = [oracle(value) for value in values]
    odd = np.arange(len(expected)) % 2 == 1
    for rows in tables:
        assert reader(rows) == expected
        assert reader(rows.where(odd)) == expected[1::2]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", USELESS)
def test_what_no_role_can_use_is_refused_in_each(name, role, tmp_path):
    refuses(ROLES[role][0], stored(USELESS[name], tmp_path))


def test_control_without_plain_types_columns_cannot_be_used(monkeypatch, tmp_path):
    monkeypatch.setattr(arrow, "simplify_table", lambda table: table)
    for name in ("string_view", "dictionary of 128", "runs of text", "extension"):
        with pytest.raises((AssertionError, ValueError, pa.ArrowException)):
            test_every_type_in_every_role_is_right_or_refused(
                name, "category", tmp_path
            )


def test_a_needed_column_is_there_once():
    table = pa.table([pa.array([1]), pa.array([2])], ["x", "x"])
    with pytest.raises(ValueError, match=r"raw has the column 'x' more than once"):
        Rows(Chunk(table, "raw"), Format()).numbers("x")


def test_bytes_that_are_no_text_are_named_by_row():
    broken = pa.array([b"1", b"\xff", b"3"]).view(pa.string())
    items = pa.array([b"a", b"b", b"\xff"]).view(pa.string())
    lists = pa.ListArray.from_arrays([0, 1, 1, 3], items)
    table = pa.table({"x": broken, "y": lists})
    rows = Rows(Chunk(table, "raw", 40), Format(strip=False))
    with pytest.raises(ValueError, match=r"raw, row 42, column 'x': .*got b'\\xff'"):
        rows.text("x")
    with pytest.raises(ValueError, match=r"raw, row 42, column 'x': .*got b'\\xff'"):
        rows.numbers("x")
    with pytest.raises(ValueError, match="raw, row 43, column 'y': expected text"):
        rows.lists("y", "|")


def test_a_number_that_python_alone_reads_is_named_by_row():
    table = pa.table({"x": ["1", "2", "1_000", "x"]})
    with pytest.raises(ValueError, match=r"row 3, column 'x': .* got '1_000'"):
        Rows(Chunk(table, "raw"), Format()).numbers("x")


def test_a_long_value_is_cut_in_an_error():
    table = pa.table({"x": ["y" * 10_000_000]})
    with pytest.raises(ValueError, match=r"'yyy.*\.\.\.") as error:
        Rows(Chunk(table, "raw"), Format()).numbers("x")
    assert len(str(error.value)) < 300


def test_columns_that_nobody_uses_may_hold_anything():
    """Arrow can't select rows of views within structures."""
    struct = pa.StructArray.from_arrays([pa.array(["a", "b"], pa.string_view())], ["v"])
    table = pa.table({"x": ["1", "2"], "y": struct})
    rows = Rows(Chunk(table, "raw"), Format()).where(np.array([False, True]))
    assert rows.numbers("x").tolist() == [2.0]
    with pytest.raises(
        ValueError, match=r"raw, column 'y': expected numbers, .* struct"
    ):
        rows.numbers("y")
