"""Delimiters, headers and what means missing, by a table of cases."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ple_jax.guess.columns import sample_of
from ple_jax.guess.formats import format_of, format_of_text
from ple_jax.schema import Format

TEXTS = {
    "commas": ("a,b\n1,x\n2,y\n", ",", True),
    "semicolons with commas in numbers": ("a;b\n1,5;x\n2,5;y\n", ";", True),
    "tabs with spaces": ("a b\tc\nd e f\t1\ng h\t2\n", "\t", True),
    "bars": ("a|b|c\n1|2|3\n", "|", True),
    "quoted delimiters": ('a,b\n"x;y,z",1\n"u;v",2\n', ",", True),
    "one column": ("click\n0\n1\n1\n", ",", True),
    "numbers alone": ("1,2\n3,4\n1,5\n", ",", False),
    "values that come again": ("x,7,y\nx,8,y\nz,9,y\n", ",", False),
    "names that are numbers": ("click,101\n0,7\n1,8\n", ",", True),
    "spaces behind commas": ("73, No, 0\n58, Yes, 4\n73, No, 2\n", ",", False),
}


@pytest.mark.parametrize(("text", "delimiter", "header"), TEXTS.values(), ids=TEXTS)
def test_a_text_is_read_as_it_is_written(text, delimiter, header):
    form = format_of_text(text)
    assert (form.delimiter, form.header) == (delimiter, header)
    assert bool(form.columns) != header


def test_line_breaks_within_quotes_are_seen():
    assert format_of_text('a,b\n1,"x\ny"\n2,z\n').line_breaks
    assert not format_of_text("a,b\n1,x\n2,z\n").line_breaks


def test_line_breaks_beyond_the_first_lines_are_seen_by_the_reader(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "1,x\n" * 1000 + '2,"x\ny"\n')
    sample = sample_of([str(path)])
    assert sample.form.line_breaks
    assert sample.rows == 1001


def test_a_byte_order_mark_and_compression_do_not_matter(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfa;b\n1;2\n"))
    assert format_of(path) == Format(delimiter=";")


def test_parquet_is_known_by_its_beginning(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "rows.parquet")
    assert format_of(tmp_path / "rows.parquet") == Format()


def test_what_means_missing(sampled):
    sample = sampled(
        age=["31", "NA", "-", "31", ""],
        city=["Rome", "NULL", "None", "?", "Oslo"],
        size=["-", "S", "M", "S", "L"],
    )
    assert sample.form.missing == ("-", "?", "NA", "NULL")
    assert sample.columns["age"].is_numeric
    assert sample.columns["age"].missing == pytest.approx(3 / 5)
    assert sorted(sample.columns["city"].texts) == ["None", "Oslo", "Rome"]


def test_files_of_other_columns_are_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(ValueError, match="only one of them has the column 'y'"):
        sample_of([str(tmp_path / "*.csv")])


def test_a_sample_is_of_all_files_and_says_if_there_is_more(tmp_path):
    for name in "ab":
        rows = "".join(f"{name}{i}\n" for i in range(50))
        (tmp_path / f"{name}.csv").write_text(f"x\n{rows}")
    whole, part = (sample_of([str(tmp_path / "*.csv")], most) for most in (100, 20))
    assert (whole.rows, whole.is_all) == (100, True)
    assert (part.rows, part.is_all) == (20, False)
    assert {text[0] for text in part.columns["x"].texts} == {"a", "b"}
