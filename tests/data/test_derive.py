"""Derived columns against Python loops, and the same wherever rows are read."""

import calendar
import datetime
import json
import math
import tomllib
import zoneinfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.prepared import arrays_of
from lib.tables import source, write_csv

from ple_jax.data.derive import compute, file_name, input_rows
from ple_jax.data.encode import Encoder
from ple_jax.data.frames import encode_table, source_of
from ple_jax.data.hashed import hash_text, ngrams
from ple_jax.data.hashing import hash_texts
from ple_jax.data.prepare import prepare
from ple_jax.data.read import read
from ple_jax.data.rows import Rows
from ple_jax.data.schema_file import schema_from_dict, schema_from_tree, schema_to_dict
from ple_jax.data.source import Chunk
from ple_jax.data.split import assigner
from ple_jax.datasets import table
from ple_jax.derived import Derived
from ple_jax.schema import Field, Format, Schema, Task
from ple_jax.splits import SPLITS

FEW = settings(max_examples=40, deadline=None)
MOMENT = datetime.datetime(2024, 2, 29, 23, 59, 58, tzinfo=datetime.UTC)


def computed(kind, of=("a", "b"), table=None, **options):
    rows = Rows(Chunk(pa.table(table), "raw"), Format(missing=("?",)))
    of = tuple(of)[: len(table)]
    return compute(rows, Derived("new", kind, of, **options)).to_pylist()


# Parts of times.

PARTS = {
    "hour": lambda t: t.hour,
    "weekday": lambda t: t.isoweekday(),
    "day": lambda t: t.day,
    "month": lambda t: t.month,
}
moments = st.datetimes(datetime.datetime(1905, 1, 1), datetime.datetime(2200, 1, 1))
SPELLINGS = {
    "timestamps": lambda t: t,
    "dates": lambda t: t and t.date(),
    "ISO 8601": lambda t: t and t.isoformat(" "),
    "seconds": lambda t: t and calendar.timegm(t.timetuple()),
    "seconds in text": lambda t: (
        "?" if t is None else str(calendar.timegm(t.timetuple()))
    ),
}


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("spelling", SPELLINGS)
@FEW
@given(times=st.lists(st.none() | moments, min_size=1, max_size=7))
def test_parts_of_times(kind, spelling, times):
    column = pa.array(map(SPELLINGS[spelling], times))
    dated = [t and t.replace(hour=0) if spelling == "dates" else t for t in times]
    expected = [None if t is None else PARTS[kind](t) for t in dated]
    assert computed(kind, table={"a": column}) == expected


@pytest.mark.parametrize(
    ("unit", "number"),
    [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9), ("yyyymmdd", None)],
)
def test_numbers_are_times_in_their_unit(unit, number):
    moment = 20240229 if number is None else int(MOMENT.timestamp()) * number
    assert computed("day", table={"a": [moment, None]}, unit=unit) == [29, None]
    if number:
        assert computed("hour", table={"a": [moment]}, unit=unit) == [23]


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York", "UTC"])
def test_a_zone_moves_the_clock_of_times_that_are_absolute(zone):
    local = MOMENT.astimezone(zoneinfo.ZoneInfo(zone))
    seconds = MOMENT.timestamp()
    for kind, part in PARTS.items():
        for column in ([seconds], pa.array([MOMENT]), [MOMENT.isoformat()]):
            assert computed(kind, table={"a": column}, zone=zone) == [part(local)]
        naive = [MOMENT.replace(tzinfo=None)]
        assert computed(kind, table={"a": naive}, zone=zone) == [part(MOMENT)]
        digits = {"a": [20240229]}
        assert computed("day", table=digits, unit="yyyymmdd", zone=zone) == [29]


@FEW
@given(
    pairs=st.lists(
        st.tuples(st.none() | moments, st.none() | moments), min_size=1, max_size=7
    )
)
def test_an_age_is_the_seconds_between_two_times(pairs):
    first, second = zip(*pairs, strict=True)
    table = {
        "a": pa.array(first, pa.timestamp("us")),
        "b": [t and str(t) for t in second],
    }
    expected = [
        None if None in pair else (pair[0] - pair[1]).total_seconds() for pair in pairs
    ]
    found = computed("age", table=table)
    assert [x is None for x in found] == [x is None for x in expected]
    for x, wanted in zip(found, expected, strict=True):
        assert x == (wanted if wanted is None else pytest.approx(wanted, abs=1e-5))


# Numbers.

ODD = [0.0, -0.0, 1e308, -1e308, 1e-308, math.nan]
numbers = st.none() | st.sampled_from(ODD) | st.floats(allow_infinity=False)
NUMBERS = {
    "difference": lambda x, y: x - y,
    "ratio": lambda x, y: x / y if y else math.inf,
}


def number_or_none(compute, x, y):
    if any(value is None or math.isnan(value) for value in (x, y)):
        return None
    with np.errstate(over="ignore"):
        value = float(np.float64(compute(np.float64(x), np.float64(y))))
    return value if math.isfinite(value) else None


@pytest.mark.parametrize("kind", NUMBERS)
@FEW
@given(pairs=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=7))
def test_two_numbers(kind, pairs):
    first, second = zip(*pairs, strict=True)
    as_text = ["?" if y is None else repr(y) for y in second]
    table = {"a": pa.array(first, pa.float64()), "b": as_text}
    expected = [number_or_none(NUMBERS[kind], x, y) for x, y in pairs]
    assert computed(kind, table=table) == expected


def test_edges_make_buckets_of_numbers():
    table = {"a": [1, 2, 4, 7, None, -3, 5], "b": [2, 2, 4, 2, 1, 1, 0]}
    names = ["0.5 to 1", "1 and above", "1 and above", "1 and above", None]
    found = computed("ratio", table=table, edges=(0.5, 1.0))
    assert found == [*names, "below 0.5", None]
    found = computed("length", table={"a": [["x"], [], None, ["x"] * 9]}, edges=(2,))
    assert found == ["below 2", "below 2", None, "2 and above"]


def test_a_length_counts_items():
    lists = [["x", "y"], [], None, ["x", None], [""]]
    assert computed("length", table={"a": lists}) == [2, 0, None, 1, 0]
    text = ["x|y", "", None, "x y", "?", "x||y"]
    assert computed("length", table={"a": text}) == [2, None, None, 1, None, 2]
    assert computed("length", table={"a": text}, separator=" ")[3] == 2


def test_a_constant_is_the_same_in_every_row():
    assert (
        computed("constant", of=(), table={"a": [3, None]}, value="web") == ["web"] * 2
    )


# Hashes.


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("", 1_000_000_000, 274_838_756),
        ("red", 1_000_000_000, 422_741_261),
        ("größe 鞋", 1_000_000_000, 559_255_839),
        ('["s1", "17"]', 1000, 290),
    ],
)
def test_a_hash_is_the_same_for_ever(text, values, expected):
    """As `printf TEXT | b2sum --length 64` has it, little-endian."""
    assert hash_text(text, values) == expected


values = st.sampled_from(["a", "b", '"', ", ", "1.0", "1", "017", "?", ""])


@pytest.mark.parametrize("size", [None, 5])
@FEW
@given(
    rows=st.lists(
        st.tuples(values, st.none() | st.integers(0, 3), values), min_size=1, max_size=9
    )
)
def test_a_cross_has_a_value_for_each_combination(size, rows):
    table = dict(zip("abc", map(list, zip(*rows, strict=True)), strict=True))
    table["b"] = pa.array(table["b"], pa.float64())

    def spelled(value):
        return None if value in ("?", "") else {"1.0": "1"}.get(value, value.strip())

    expected = []
    for a, b, c in rows:
        combination = [spelled(a), None if b is None else str(b), spelled(c)]
        if None in combination:
            expected.append(None)
        else:
            text = json.dumps(combination)
            expected.append(text if size is None else hash_text(text, size))
    found = computed("cross", of="abc", table=table, values=size)
    assert found == expected


def test_a_hash_is_one_of_so_many_values():
    texts = ["u1", None, "?", " 12.0", "12", *(f"v{i}" for i in range(200))]
    found = computed("hash", table={"a": texts}, values=7)
    plain = pa.array(["u1", "", "", "12", "12", *texts[5:]])
    wanted = [int(h) % 7 for h in hash_texts(plain).tolist()]
    assert found == [wanted[0], None, None, *wanted[3:]]
    assert set(wanted) == set(range(7))


def test_hashed_ids_have_every_encoding_and_new_ones_are_known(tmp_path):
    """997 sessions, all different: a table of seven rows, and none is unknown."""
    sessions = pa.array([f"s{i}" for i in range(997)])
    likely = (hash_texts(sessions) % np.uint64(7)) / 7
    click = np.random.default_rng(0).random(997) < likely
    old = pa.table({"session": sessions, "click": click.astype(np.int8)})
    schema = Schema(
        (Field("bucket", encodings=("id", "count", "target_mean")),),
        (Task("click"),),
        derived=(Derived("bucket", "hash", ("session",), values=7),),
    )
    data = prepare(source(old, schema), tmp_path / "prepared")
    assert [column.rows for column in data.layout.ids] == [8]
    names = [column.name for column in data.layout.numbers]
    assert names == [f"bucket:{n}" for n in ("count", "share", "target_mean:click")]
    new = pa.table({"session": [f"new{i}" for i in range(50)], "click": [0] * 50})
    found = data.encoder.encode(input_rows(Chunk(new, "new"), schema), labels=False)
    vocabulary = data.encoder.vocabularies["bucket"]["value"].to_pylist()
    wanted = hash_texts(new["session"].combine_chunks()) % np.uint64(7)
    assert [vocabulary[i - 1] for i in found.ids[:, 0]] == [str(w) for w in wanted]
    assert len(set(found.numbers[:, 2].tolist())) == len(set(wanted.tolist())) == 7


def test_text_becomes_the_hashes_of_its_ngrams():
    options = {"values": 97, "words": (1, 2), "characters": (3,)}
    column = Derived("new", "text", ("a",), **options)
    assert list(ngrams("Red hat, RED", column)) == [
        *("w red", "w hat", "w red", "w red hat", "w hat red"),
        *("c <re", "c red", "c ed>", "c <ha", "c hat", "c at>"),
        *("c <re", "c red", "c ed>"),
    ]
    assert list(ngrams("é ﬁ Å", column))[:3] == ["w é", "w fi", "w å"]
    assert list(ngrams("--- !", column)) == []
    texts = ["Red hat, RED", None, "?", "!", "hat"]
    found = computed(
        "text", table={"a": texts}, values=97, words=(1, 2), characters=(3,)
    )
    grams = dict.fromkeys(hash_text(g, 97) for g in ngrams(texts[0], column))
    assert found[0] == list(grams)
    assert len(found[0]) == len(set(found[0])) >= 8
    assert found[1:4] == [None, None, []]
    assert set(found[4]) <= set(found[0])


# In a schema.

SCHEMA = """
categorical = ["hour", "discount", "pair", "bin", "@file", "page"]
numeric = ["age", "gap", "num_tags"]
domain = "@file"
user = "who"
ignored = ["extra"]

[fields."@file"]
encodings = ["id"]

[fields.title_words]
kind = "multi_valued"
max_length = 5

[fields.hour]
encodings = ["id"]

[derived.hour]
kind = "hour"
of = "time"
zone = "Europe/Berlin"

[fields.discount]
encodings = ["id"]

[derived.discount]
kind = "ratio"
of = ["price", "list_price"]
edges = [0.5, 0.9]

[fields.pair]
encodings = ["id"]

[derived.pair]
kind = "cross"
of = ["shop", "hour", "discount"]

[fields.bin]
encodings = ["id"]

[derived.bin]
kind = "cross"
of = ["shop", "@file"]
values = 7

[fields.page]
encodings = ["id"]

[derived.page]
kind = "constant"
value = "home"

[derived.age]
kind = "age"
of = ["time", "published"]

[derived.gap]
kind = "difference"
of = ["price", "list_price"]

[derived.num_tags]
kind = "length"
of = "tags"

[derived.title_words]
kind = "text"
of = "title"
values = 31
characters = [3]

[derived.who]
kind = "cross"
of = ["name", "shop"]

[[tasks]]
name = "click"
"""
LABELS = ["click", "name", "extra"]


def log(rows=199, seed=3):
    rng = np.random.default_rng(seed)
    pick = lambda *names: rng.choice(names, rows)
    seconds = rng.integers(1_700_000_000, 1_710_000_000, rows)
    cents = rng.integers(1, 100, (rows, 2))
    return pa.table(
        {
            "time": seconds,
            "published": seconds - rng.integers(0, 10_000, rows),
            "price": pa.array(cents[:, 0], mask=rng.random(rows) < 0.1),
            "list_price": cents[:, 1],
            "shop": pick("s1", "s2", ""),
            "tags": pick("a|b", "a", "", "c|d|e"),
            "title": pick("Red hat", "a blue hat", ""),
            "name": pick("ann", "bob"),
            "click": rng.integers(0, 2, rows),
            "extra": rng.integers(0, 2, rows),
        }
    )


def with_file(table):
    names = ["north"] * 83 + ["south"] * 116
    return table.append_column("@file", pa.array(names))


def written(folder, ending):
    """The log in two files, and the schema."""
    (folder / "schema.toml").write_text(SCHEMA)
    for name, part in (("north", log().slice(0, 83)), ("south", log().slice(83))):
        path = folder / f"{name}{ending}"
        write = pq.write_table if ending == ".parquet" else lambda t, p: write_csv(p, t)
        write(part, path)
    files = (str(folder / f"*{ending}"),)
    return table.build(str(folder / "schema.toml"), files)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("derived")
    return prepare(written(folder, ".csv"), folder / "prepared")


def test_files_and_frames_give_the_same_columns(prepared, tmp_path):
    again = prepare(written(tmp_path, ".parquet"), tmp_path / "parquet")
    frame = source_of(with_file(log()), prepared.schema)
    third = prepare(frame, tmp_path / "frame")
    for other in (again, third):
        for key, array in arrays_of(prepared).items():
            np.testing.assert_array_equal(array, arrays_of(other)[key], err_msg=key)


def test_rows_to_score_are_encoded_as_in_the_prepared_data_set(prepared, tmp_path):
    """Without labels, users and ignored columns, from files and from frames."""
    encoder = Encoder.load(prepared.directory)
    split, _ = assigner(written(tmp_path, ".csv"))(range(len(log())), 0)
    to_score = log().drop_columns(LABELS)
    write_csv(tmp_path / "north.csv", to_score.slice(0, 83))
    write_csv(tmp_path / "south.csv", to_score.slice(83))
    chunks = read([tmp_path / "*.csv"], encoder.schema, labels=False)
    scored = [encoder.encode(input_rows(c, encoder.schema), False) for c in chunks]
    of_frame = encode_table(encoder, with_file(to_score)).arrays()
    for name in ("ids", "numbers", "domain", "bags/title_words"):
        rows = np.concatenate([part.arrays()[name] for part in scored])
        np.testing.assert_array_equal(rows, of_frame[name])
        for number, part in enumerate(SPLITS):
            stored = prepared.split(part).arrays()[name]
            np.testing.assert_array_equal(rows[split == number], stored)


def test_what_is_derived_is_what_was_asked_for(prepared):
    values = {
        name: sorted(v["value"].to_pylist())
        for name, v in prepared.encoder.vocabularies.items()
    }
    assert prepared.encoder.domains == ("south", "north")
    assert values["@file"] == ["north", "south"]
    assert values["page"] == ["home"]
    assert values["discount"] == ["0.5 to 0.9", "0.9 and above", "below 0.5"]
    assert {json.loads(pair)[0] for pair in values["pair"]} == {"s1", "s2"}
    assert set(values["hour"]) <= {str(hour) for hour in range(24)}
    assert set(values["bin"]) <= {str(i) for i in range(7)}
    assert len(values["title_words"]) > 8


def test_a_schema_is_recorded_with_its_derived_columns(prepared):
    assert Encoder.load(prepared.directory).schema == prepared.schema
    plain = schema_to_dict(prepared.schema)
    assert schema_from_dict(plain) == prepared.schema
    of_before = schema_to_dict(schema_from_tree(PLAIN))
    del of_before["derived"]
    assert schema_from_dict(of_before).derived == ()


def test_a_file_is_named_without_folder_and_endings():
    assert file_name("a.b/c.d.csv.gz") == "c.d"
    assert file_name("/logs/shop") == "shop"


PLAIN = {"categorical": ["shop"], "tasks": [{"name": "click"}], "ignored": ["*"]}


def derived(**columns):
    """The dicts of a schema with these derived columns, each a field."""
    lists = [n for n, column in columns.items() if "text" in str(column)]
    return PLAIN | {
        "categorical": ["shop", *(n for n in columns if n not in lists)],
        "fields": {name: {"kind": "multi_valued"} for name in lists},
        "derived": columns,
    }


HOUR = {"kind": "hour", "of": "time"}
RATIO = {"kind": "ratio", "of": ["price", "list_price"]}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (derived(h={"kind": "hours"}), "derived.h.kind: .* Did you mean 'hour'"),
        (derived(h={**HOUR, "zon": "UTC"}), "'zon' is not .*key of derived.h.*'zone'"),
        (derived(h={"kind": "hour"}), "'h' .hour.: `of` must name 1 columns, got"),
        (derived(h={"of": "time"}), "derived.h: kind must be given"),
        (derived(h={**HOUR, "edges": [1]}), "takes no 'edges', only 'unit', 'zone'"),
        (derived(h={**HOUR, "zone": "Berlin"}), "zone must be a time zone, .*'Berlin'"),
        (derived(h={**HOUR, "unit": "sec"}), "derived.h.unit: expected one of 's'"),
        (derived(r={**RATIO, "edges": [1, 1]}), "edges must be finite numbers, ascend"),
        (derived(r={**RATIO, "edges": [math.inf]}), "edges must be finite numbers"),
        (derived(c={"kind": "cross", "of": ["a"]}), "name 2 or 3 columns, got .*'a'"),
        (
            derived(c={"kind": "cross", "of": ["a", "b"], "values": 0}),
            "values must be from 1 to 1,000,000,000, got 0",
        ),
        (derived(h={"kind": "hash", "of": "a"}), "needs `values`, the number of value"),
        (derived(t={"kind": "text", "of": "a"}), "needs `values`, the number of value"),
        (
            derived(t={"kind": "text", "of": "a", "values": 3, "words": []}),
            "needs `words` or `characters`",
        ),
        (
            derived(t={"kind": "text", "of": "a", "values": 3, "words": [0]}),
            "words must be lengths from 1 to 10",
        ),
        (derived(c={"kind": "constant"}), "needs a `value`"),
        (derived(h={"kind": "hour", "of": "click"}), "'click' is the label of task"),
        (
            derived(h=HOUR) | {"leaking": ["time"]},
            "'time' is declared as leaking .* an input of derived column 'h'",
        ),
        (
            derived(h=HOUR) | {"ignored": ["time"]},
            "'time' is both an input of derived column 'h' and ignored",
        ),
        (derived(click=HOUR) | {"categorical": ["shop"]}, "'click' is the label"),
        (derived(h=HOUR) | {"categorical": ["shop"]}, "are not used: h. Name each as"),
        (
            derived(a={"kind": "cross", "of": ["h", "shop"]}, h=HOUR),
            "'a' is computed from 'h', which must stand above",
        ),
        (derived(h={**HOUR, "of": "h"}), "computed from 'h', which must stand above"),
        (
            derived(c={"kind": "cross", "of": ["a", "b"]})
            | {"categorical": ["shop"], "numeric": ["c"]},
            "'c' .cross. holds values: as a field it must be categorical, got numeric",
        ),
        (
            derived(t={"kind": "text", "of": "a", "values": 3})
            | {"categorical": ["t"], "fields": {}},
            "holds lists: as a field it must be multi_valued or sequence",
        ),
        (derived(h=3), "derived.h: expected dict, got 3"),
    ],
)
def test_mistakes_in_derived_columns_are_explained(tree, message):
    with pytest.raises(ValueError, match=message):
        schema_from_tree(tree)


def test_a_kind_is_checked_in_python_too():
    with pytest.raises(
        ValueError, match=r"'x' .minute.: `kind` must be one of hour, w"
    ):
        Derived("x", "minute", ("time",))


RAW = {"shop": ["s", "t"], "time": ["1", ""], "price": ["1", "x"], "click": ["1", "0"]}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"h": {**HOUR, "of": "tme"}}, "no column 'tme', which .* Did you mean 'time'"),
        (
            {"r": {**RATIO, "of": ["price", "time"]}},
            r"a.csv, row 2, column 'price': expected a number, got 'x'. Derived "
            "column 'r' needs it",
        ),
        (
            {"h": {**HOUR, "of": "shop"}},
            r"row 1, column 'shop': expected .* time, got 's'. Derived column 'h'",
        ),
        (
            {"time": {**HOUR, "of": "price"}},
            "has a column 'time', which the schema derives .*: rename one",
        ),
    ],
)
def test_columns_that_do_not_fit_are_explained(tmp_path, columns, message):
    write_csv(tmp_path / "a.csv", pa.table(RAW))
    schema = schema_from_tree(derived(**columns))
    chunks = read([tmp_path / "a.csv"], schema)
    with pytest.raises(ValueError, match=message):
        [input_rows(chunk, schema) for chunk in chunks]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (
            [20240501, None],
            {},
            "expected a time in s since 1970 .or set `unit`: .*2024",
        ),
        ([1_700_000_000_000], {}, "expected a time in s since 1970"),
        ([20240230], {"unit": "yyyymmdd"}, "expected the digits of a date, .*20240230"),
        (["2024-05-01", "7"], {}, "row 2, column 'a': expected a time without a zone"),
        ([[1]], {}, "expected numbers, dates, timestamps or ISO 8601 text"),
    ],
)
def test_times_that_cannot_be_are_explained(values, options, message):
    with pytest.raises(ValueError, match=message):
        computed("hour", table={"a": values}, **options)


def test_an_age_needs_one_kind_of_time():
    zoned, naive = ["2024-05-01T10:00:00Z"], ["2024-05-01T10:00:00"]
    with pytest.raises(ValueError, match="'a' holds a time with a zone, but 'b' a"):
        computed("age", table={"a": zoned, "b": naive})
    assert computed("age", table={"a": [None], "b": naive}) == [None]


def test_files_of_one_name_are_no_two_domains(tmp_path):
    written(tmp_path, ".csv")
    (tmp_path / "north.parquet").write_bytes(b"")
    files = [tmp_path / "north.csv", tmp_path / "north.parquet"]
    schema = schema_from_tree(tomllib.loads(SCHEMA))
    with pytest.raises(ValueError, match="have the same '@file', 'north': rename one"):
        next(read(files, schema))
    with pytest.raises(ValueError, match="the data has no file name, which"):
        prepare(source_of(log(), schema), tmp_path / "out")
