"""Files are what their first bytes say, whatever their names are."""

import gzip
import io
import lzma
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ple_jax.data.file_kinds import compression_of
from ple_jax.data.read import read_tables
from ple_jax.schema import Format

TEXT = "a,b\n" + "".join(f"{i},é{i * i}\n" for i in range(397))
ROWS = [{"a": str(i), "b": f"é{i * i}"} for i in range(397)]


def zipped(files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return archive.getvalue()


def by_arrow(codec):
    def compressed(content):
        whole = pa.BufferOutputStream()
        with pa.CompressedOutputStream(whole, codec) as stream:
            stream.write(content)
        return whole.getvalue().to_pybytes()

    return compressed


def as_parquet(rows):
    whole = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), whole)
    return whole.getvalue()


@pytest.fixture
def rows_in(tmp_path):
    """Name and bytes of a file, options of its format -> its rows."""

    def read_bytes(content, name="file", **options):
        (tmp_path / name).write_bytes(content)
        tables = list(read_tables(tmp_path / name, Format(**options)))
        return pa.concat_tables(tables).to_pylist()

    return read_bytes


@pytest.mark.parametrize("name", ["file", "file.csv", "file.gz", "file.data"])
@pytest.mark.parametrize(
    ("kind", "compress"),
    [
        (None, bytes),
        ("gzip", gzip.compress),
        ("xz", lzma.compress),
        ("bz2", by_arrow("bz2")),
        ("zstd", by_arrow("zstd")),
        ("lz4", by_arrow("lz4")),
        ("zip", lambda content: zipped({"one": content})),
        (
            "zip",
            lambda content: zipped({"a/": b"", "a/b": content, "__MACOSX/b": b"x"}),
        ),
    ],
)
def test_compression_is_known_by_content(rows_in, tmp_path, name, kind, compress):
    assert rows_in(compress(TEXT.encode()), name) == ROWS
    assert compression_of(tmp_path / name) == kind


@pytest.mark.parametrize("name", ["x", "x.parquet", "x.parquet.brotli", "x.csv"])
def test_parquet_is_known_by_content(rows_in, name):
    assert rows_in(as_parquet(ROWS), name) == ROWS


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-8-sig", "latin-1"),
        ("utf-16", "utf-8"),
        ("utf-32", "utf-8"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("latin-1", "latin-1"),
        ("cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
def test_encodings(rows_in, encoding, named, compress, capsys):
    content = compress(TEXT.encode(encoding))
    assert rows_in(content, encoding=named) == ROWS
    assert rows_in(content, encoding=named.upper()) == ROWS
    assert capsys.readouterr().err == ""  # the last line has its end


def test_text_is_decoded_as_it_is_read(rows_in, monkeypatch):
    monkeypatch.setattr("ple_jax.data.csv_file.CSV_BLOCK", 64)
    for encoding in ("utf-16", "utf-8"):
        assert rows_in(TEXT.encode(encoding)) == ROWS


LATIN = TEXT.encode("latin-1")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (
            zipped({"a": "x", "b": "y"}),
            "x.zip",
            r"ZIP archive of 2 files \(a, b\), expected one",
        ),
        (zipped({}), "x.zip", "ZIP archive of 0 files"),
        (zipped({"a": "x"}).replace(b"PK\1\2", b"PK\7\7"), "x.zip", "Bad magic number"),
        (zipped({"a": TEXT})[:-50], "x.zip", "not a zip file"),
        (gzip.compress(TEXT.encode())[:-9], "x", "cannot be read: "),
        (lzma.compress(TEXT.encode())[:-9], "x", "ended before the end-of-stream"),
        (gzip.compress(as_parquet(ROWS)), "x.gz", "Parquet file, compressed or cut"),
        (as_parquet(ROWS)[:-9], "x", "Parquet file, compressed or cut"),
        (
            TEXT.encode(),
            "x.parquet",
            r"ends in \.parquet, but it begins with b'a,b\\n'",
        ),
        (b"", "x.parquet", "it begins with b''"),
        (b"SQLite format 3\0" + bytes(99), "x.db", "an SQLite database, expected text"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "x.h5", "it is an HDF5 file"),
        (TEXT.encode("utf-16-le"), "x", 'bytes of 0.*format.encoding = .*"utf-16-le"'),
        (b"\xe9," + LATIN, "x", r"UTF-8, got the bytes b'\\xe9,a,'.*\"latin-1\""),
    ],
)
def test_what_is_no_table_is_named(rows_in, content, name, message):
    with pytest.raises(ValueError, match=message) as caught:
        rows_in(content, name)
    assert f"{name} cannot be read: " in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_excel_file_is_named(rows_in):
    content = zipped({"xl/workbook.xml": "<a/>", "xl/worksheets/sheet1.xml": "<b/>"})
    with pytest.raises(ValueError, match="is an Excel file; save each sheet as CSV"):
        rows_in(content, "x.xlsx")


def test_bytes_that_an_encoding_lacks_are_named(rows_in):
    content = TEXT.encode() + b"1,\x81\n"
    with pytest.raises(ValueError, match=r"expected text in .*got the bytes b'\\x81"):
        rows_in(content, encoding="cp1252")


def test_an_unknown_encoding_is_named():
    with pytest.raises(ValueError, match="'latin-l' is not a known encoding of text"):
        Format(encoding="latin-l")
    with pytest.raises(ValueError, match="'rot13' is not a known encoding"):
        Format(encoding="rot13")
