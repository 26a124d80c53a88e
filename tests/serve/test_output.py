"""Where scores may go: never over an input, a device or, unasked, anything."""

import os
import resource

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from ple_jax.serve.output import check_output, open_output

COLUMNS = pa.schema([("click", pa.float32())])
SCORES = pa.table({"click": [0.25, 0.1]}, schema=COLUMNS)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n")
    return tmp_path


def refusal(folder, name, overwrite=True):
    with pytest.raises((ValueError, OSError)) as error:
        check_output(folder / name, [str(folder / "r*.csv")], overwrite)
    return str(error.value)


@pytest.mark.parametrize("name", ["rows.csv", "link.csv", "hard.csv"])
def test_the_input_is_never_replaced(folder, name):
    (folder / "link.csv").symlink_to(folder / "rows.csv")
    os.link(folder / "rows.csv", folder / "hard.csv")
    assert "is the file to read" in refusal(folder, name)


def test_what_is_no_plain_file_is_never_replaced(folder):
    (folder / "folder.csv").mkdir()
    os.mkfifo(folder / "fifo.csv")
    (folder / "null.csv").symlink_to("/dev/null")
    (folder / "nowhere.csv").symlink_to(folder / "gone")
    for name in ("folder.csv", "fifo.csv", "null.csv", "nowhere.csv"):
        assert "no plain file" in refusal(folder, name)


def test_a_file_is_replaced_only_when_asked(folder):
    (folder / "old.csv").write_text("old")
    assert "--overwrite" in refusal(folder, "old.csv", overwrite=False)
    check_output(folder / "old.csv", [str(folder / "rows.csv")], True)


def test_a_missing_folder_or_format_is_found_at_once(folder):
    (folder / "scores").mkdir()
    assert "Did you mean 'scores'" in refusal(folder, "score/a.csv")
    assert ".parquet, .pq, .csv, got '.json'" in refusal(folder, "a.json")


@pytest.fixture
def full_disk():
    """No file may grow above 4 KiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_what_cannot_be_written_leaves_nothing(folder, full_disk, name, overwrite):
    rng = np.random.default_rng(0)
    many = pa.table({"click": rng.random(10_007, np.float32)}, schema=COLUMNS)
    with pytest.raises(ValueError, match=f"{name} cannot be written: .*File too large"):
        write(folder / name, many, overwrite)
    assert [p.name for p in folder.iterdir()] == ["rows.csv"]


def test_a_folder_that_is_gone_is_named(folder):
    with pytest.raises(ValueError, match=r"out\.csv cannot be written: .*No such file"):
        write(folder / "gone" / "out.csv", SCORES, True)


def write(out, table, overwrite):
    with open_output(out, COLUMNS, overwrite) as writer:
        writer.write_table(table)


def test_two_writers_of_one_file_both_write_whole_or_are_refused(folder):
    out = folder / "out.csv"

    def both():
        with open_output(out, COLUMNS, overwrite=False) as first:
            first.write_table(SCORES)
            with open_output(out, COLUMNS, overwrite=False) as second:
                second.write_table(SCORES.slice(1))

    with pytest.raises(FileExistsError, match="already exists"):
        both()
    assert pyarrow.csv.read_csv(out)["click"].to_pylist() == [0.1]
    assert sorted(p.name for p in folder.iterdir()) == ["out.csv", "rows.csv"]
