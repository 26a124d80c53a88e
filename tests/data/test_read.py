"""Files of raw rows: every format gives the same, and every mistake is named."""

import dataclasses
import os
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lib.prepared import arrays_of, domain_sizes
from lib.tables import SCHEMA, SCHEMA_TEXT, raw, rows_of, with_value, write_csv

from ple_jax.data.prepare import prepare
from ple_jax.data.read import expand_patterns, read, row_bytes
from ple_jax.datasets import table
from ple_jax.schema import Format


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


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            with_value("price", 17, "cheap"),
            r"bad.csv, row 18, column 'price': expected a number, got 'cheap'",
        ),
        (
            with_value("click", 5, "2"),
            r"row 6, column 'click': expected 0 or 1 as label",
        ),
        (
            with_value("weight", 3, -1.0),
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leaking": ("stras",)}, r"column of .*a\.csv \(leaking\).*mean 'stars'"),
        ({"leaking": ("*",)}, r"'\*' is not a known column .* \(leaking\)"),
        ({"ignored": ("*", "stras")}, r"column of .*a\.csv \(ignored\).*mean 'stars'"),
    ],
)
def test_leaking_and_ignored_columns_must_exist(tmp_path, changes, message):
    write_csv(tmp_path / "a.csv")
    schema = dataclasses.replace(SCHEMA, tasks=SCHEMA.tasks[:2], **changes)
    with pytest.raises(ValueError, match=message):
        list(read([tmp_path / "a.csv"], schema))
    list(read([tmp_path / "a.csv"], schema, labels=False))  # predict needs neither


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


def test_a_path_that_exists_is_itself_and_others_are_patterns(tmp_path):
    for name in ("q1.csv", "q[1].csv", "q2.csv"):
        (tmp_path / name).write_text("a\n1\n")
    expand = lambda name: [p.name for p in expand_patterns([tmp_path / name])]
    assert expand("q[1].csv") == ["q[1].csv"]
    assert expand("q[2].csv") == ["q2.csv"]
    assert expand("q?.csv") == ["q1.csv", "q2.csv"]


def test_a_file_is_read_once(tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    for names, told in (
        (["a.csv", "a.csv"], "a.csv is named twice: its rows would come twice"),
        (["*.csv"], "b.csv is the same file as .*a.csv: its rows"),
    ):
        with pytest.raises(ValueError, match=told):
            expand_patterns([tmp_path / name for name in names])


def test_what_is_no_file_is_not_opened(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "fifo.csv")
    told = {
        "folder.csv": "folder.csv is a folder without files",
        "folder*": "folder.csv is a folder or device, expected",
        "fifo.csv": "fifo.csv is a folder or device, expected",
    }
    for name, match in told.items():
        with pytest.raises(ValueError, match=match):
            expand_patterns([tmp_path / name])


def test_a_folder_is_its_files_and_its_folders_may_be_values(tmp_path, data):
    """As Hive and Spark divide a table, beside files of their own."""
    rows = raw()
    shops = np.array(rows["shop"].to_pylist())
    for shop, folder in [("s0", "s%30"), ("s1", "s1"), ("s2", "s2")]:
        place = tmp_path / "log" / f"shop={folder}" / "unused=7"
        place.mkdir(parents=True)
        part = rows.filter(pa.array(shops == shop)).drop_columns(["shop"])
        pq.write_table(part, place / "part-0.parquet")
        (place / "_SUCCESS").touch()
        (place / ".part-0.parquet.crc").touch()
    found = prepare(own_table(tmp_path, "log"), tmp_path / "prepared")
    assert domain_sizes(found) == domain_sizes(data)
    origins = [pathlib.Path(name).parts[-3] for name, _, _ in found.facts["origins"]]
    assert origins == ["shop=s%30", "shop=s1", "shop=s2"]
    empty = tmp_path / "log" / "shop=__HIVE_DEFAULT_PARTITION__"
    (tmp_path / "log" / "shop=s2").rename(empty)
    with pytest.raises(ValueError, match="column 'shop': expected a domain in every"):
        prepare(own_table(tmp_path, "log"), tmp_path / "missing")


def test_chunks_are_bounded_by_what_encoded_rows_take(tmp_path, monkeypatch):
    write_csv(tmp_path / "a.csv")
    monkeypatch.setattr("ple_jax.data.read.MOST_BYTES", 20 * row_bytes(SCHEMA))
    chunks = list(read([tmp_path / "a.csv"], SCHEMA))
    assert max(len(chunk.table) for chunk in chunks) == 20
    assert [chunk.first for chunk in chunks] == list(range(0, 397, 20))


def test_a_stray_quote_never_swallows_rows_of_train(tmp_path):
    write_csv(tmp_path / "stray.csv", raw().slice(0, 60))
    lines = (tmp_path / "stray.csv").read_text().split("\n")
    lines[7] = '"' + lines[7]  # opens at the shop of row 7, and closes at that of 12
    lines[12] = lines[12].replace(",", '",', 1)
    (tmp_path / "stray.csv").write_text("\n".join(lines))
    message = r"stray\.csv cannot be read: row 7, column 'shop': expected no line break"
    with pytest.raises(ValueError, match=message):
        prepare(own_table(tmp_path, "stray.csv"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_header_that_repeats_a_name(tmp_path):
    write_csv(tmp_path / "a.csv")
    head, *lines = (tmp_path / "a.csv").read_text().splitlines()
    for name in ("shop", "other"):
        twice = [f"{head},{name},{name}", *(f"{line},1,2" for line in lines)]
        (tmp_path / "twice.csv").write_text("\n".join(twice) + "\n")
        schema = dataclasses.replace(SCHEMA, ignored=("*",))
        if name == "other":  # that nothing needs
            assert (
                sum(len(c.table) for c in read([tmp_path / "twice.csv"], schema)) == 397
            )
            continue
        with pytest.raises(ValueError, match=r"has the column 'shop', which .* twice"):
            list(read([tmp_path / "twice.csv"], schema))


@pytest.mark.parametrize("word", ["NA", "N/A", "null", "NULL", "NaN", "None", " NA "])
def test_a_number_that_is_not_known(word):
    rows = rows_of(pa.table({"x": ["1", word, "2.5"], "y": ["a", word, "b"]}))
    np.testing.assert_array_equal(rows.numbers("x"), [1, np.nan, 2.5])
    codes, values = rows.text("y")  # a category may well be called so
    assert values[int(codes[1])].as_py() == word.strip()


def test_a_time_that_is_missing_is_shown_as_it_is():
    for times in (["2024-01-02", "", "0"], ["17", "", "0"], ["0", ""]):
        with pytest.raises(ValueError, match=r"row 2, column 't': expected .*, got ''"):
            rows_of(pa.table({"t": times})).times("t")
