"""Text files: what is a row, what is refused, and how much is read at once."""

import gzip

import pyarrow as pa
import pytest

from ple_jax.data import csv_file, read
from ple_jax.data.read import read_tables
from ple_jax.schema import Format

LINES = "a,b\n" + "1,2\n" * 20 + '"3,4\n5,6\n7",8\n' + "1,2\n" * 20
BLOCKS = [16, 19, 32, 57, 61, 100, 1 << 20]


@pytest.fixture
def tables(tmp_path):
    """Text or bytes, a format's options -> the table that a file of it holds."""

    def read_text(text, name="some.csv", **options):
        path = tmp_path / name
        content = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return pa.concat_tables(read_tables(path, Format(**options)))

    return read_text


@pytest.mark.parametrize("block", BLOCKS)
def test_a_line_break_in_a_value_is_refused(tables, monkeypatch, block):
    monkeypatch.setattr(csv_file, "CSV_BLOCK", block)
    message = r"some\.csv cannot be read: .*line break.*format\.line_breaks = true"
    with pytest.raises(ValueError, match=message) as error:
        tables(LINES)
    if block == BLOCKS[-1]:
        where = "row 21, column 'a': expected no line break, got '3,4"
        assert where in str(error.value)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_line_break_in_a_value_may_be_allowed(tables, monkeypatch, block):
    monkeypatch.setattr(csv_file, "CSV_BLOCK", block)
    found = tables(LINES, line_breaks=True).to_pylist()
    other = {"a": "1", "b": "2"}
    assert found == [other] * 20 + [{"a": "3,4\n5,6\n7", "b": "8"}] + [other] * 20


@pytest.mark.parametrize("quoted", ['"2\n3\n', '"2\r3"\n4\n', 'x\n"2\n3"\n4'])
def test_a_stray_quote_never_swallows_rows(tables, quoted):
    with pytest.raises(ValueError, match="expected no line break"):
        tables("a\n" + quoted)


def test_control_without_the_check_a_stray_quote_swallows_rows(tables, monkeypatch):
    monkeypatch.setattr(csv_file, "_check_line_breaks", lambda batch, first: None)
    assert len(tables('a\n1\n"2\n3"\n4\n')) == 3  # of 4


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n\n3\n", {}, "row 2: expected 2 columns, got 1: 3"),
        ("1,2\n3\n", {"header": False, "columns": ("a", "b")}, "row 2: expected 2"),
        (b"a,b\n1,2\n\xff\n", {}, "row 2: expected 2 columns, got 1: "),
        (b"a,\xff\n1,2\n", {}, "in its first line: expected text in UTF-8"),
        ("", {}, "Empty CSV file"),
        ("," * 100_000, {}, "at most 100,000 columns, got 100,001"),
    ],
)
def test_what_is_no_table_is_explained(tables, text, options, message):
    with pytest.raises(ValueError, match=rf"some\.csv cannot be read: .*{message}"):
        tables(text, **options)


@pytest.mark.parametrize("name", ["some.csv", "some.csv.gz"])
@pytest.mark.parametrize("header", [True, False])
def test_a_line_longer_than_a_block_is_refused(tables, monkeypatch, name, header):
    monkeypatch.setattr(csv_file, "CSV_BLOCK", 64)
    options = {} if header else {"header": False, "columns": ("a",)}
    with pytest.raises(ValueError, match="longer than 64 bytes"):
        tables("x" * 1000, name, **options)
    with pytest.raises(ValueError, match=r"after row 2.*longer than 64 bytes"):
        tables("a\n1\n" + "x" * 58 + "\n" + "y" * 1000 + "\n", name, **options)


def test_a_last_line_without_end_is_read_with_a_warning(tables, capsys):
    read.say_once.cache_clear()
    assert tables("a,b\n1,25").to_pylist() == [{"a": "1", "b": "25"}]
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: the last line of" in said
    assert "some.csv has no end" in said
    tables("a,b\n1,25\n")
    tables("a,b\n1,25\n", name="some.csv.gz")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("block", [64, 100, 1 << 20])
@pytest.mark.parametrize("line_breaks", [True, False])
def test_a_ragged_row_has_its_number(tables, monkeypatch, block, line_breaks):
    monkeypatch.setattr(csv_file, "CSV_BLOCK", block)
    for ragged in ("3", "3,4,5"):
        text = "a,b\n" + "1,2\n" * 397 + f"{ragged}\n" + "1,2\n" * 50
        message = rf"row 398: expected 2 columns, got \d: {ragged}"
        with pytest.raises(ValueError, match=message):
            tables(text, line_breaks=line_breaks)
