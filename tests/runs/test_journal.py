"""Journals: whole up to a checkpoint, or a sentence that names the line."""

import json

import pytest

from ple_jax.runs import journal
from ple_jax.runs.journal import Journal, fallbacks, read_records

RECORDS = [{"step": 7 * i, "epoch": i - 1, "loss": 0.1 * i} for i in (1, 2, 3)]


@pytest.fixture
def path(tmp_path):
    """A journal of three epochs."""
    path = tmp_path / "metrics.jsonl"
    opened = Journal(path, 0)
    for record in RECORDS:
        opened.write(record)
    return path


def marks(path, count):
    return [journal._mark(line) for line in journal._whole_lines(path)][:count]


def test_it_reads_back(path):
    assert read_records(path) == RECORDS
    assert Journal(path, 21, marks(path, 3)).marks == marks(path, 3)
    assert read_records(path) == RECORDS


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
@pytest.mark.parametrize("has_marks", [True, False])
def test_epochs_after_the_checkpoint_are_dropped(kept, has_marks, path):
    known = marks(path, kept)
    opened = Journal(path, 7 * kept, known if has_marks else None)
    assert read_records(path) == RECORDS[:kept]
    opened.write(RECORDS[2])
    assert opened.marks == [*known, *marks(path, kept + 1)[kept:]]


def test_every_changed_byte_is_named_with_its_line(path):
    whole, known = path.read_bytes(), marks(path, 3)
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        wanted = r"(line \d, is damaged|is damaged: it has \d whole lines)"
        with pytest.raises(ValueError, match=rf"metrics.jsonl,? {wanted}"):
            Journal(path, 21, known)
    line = whole.splitlines(keepends=True)
    path.write_bytes(line[0] + line[1].replace(b"0.2", b"0.3") + line[2])
    with pytest.raises(ValueError, match="line 2, is damaged"):
        Journal(path, 21, known)


def test_every_cut_is_an_error(path):
    whole, known = path.read_bytes(), marks(path, 3)
    for i in range(len(whole)):
        path.write_bytes(whole[:i])
        with pytest.raises(ValueError, match=r"it has \d whole lines, expected at"):
            Journal(path, 21, known)
        assert path.read_bytes() == whole[:i]


@pytest.mark.parametrize("step", [0, 21])
@pytest.mark.parametrize("has_marks", [True, False])
def test_half_a_line_is_dropped_before_the_next(step, has_marks, path):
    known = marks(path, step // 7)
    whole = path.read_bytes() if step else b""
    path.write_bytes(whole + b'{"step": 28, "ep')
    Journal(path, step, known if has_marks else None).write({"step": 28})
    assert read_records(path) == [*RECORDS[: step // 7], {"step": 28}]


def test_control_of_marks_that_are_not_compared(path, monkeypatch):
    known = marks(path, 3)
    path.write_bytes(path.read_bytes().replace(b"0.2", b"0.3"))
    monkeypatch.setattr(journal, "_marked", lambda path, lines, marks: list(lines))
    assert Journal(path, 21, known).marks != known


def test_a_journal_that_was_removed_begins_anew_with_a_warning(path, capsys):
    known = marks(path, 2)
    path.unlink()
    opened = Journal(path, 14, known)
    assert "is gone: a new journal begins here" in capsys.readouterr().err
    opened.write(RECORDS[2])
    assert read_records(path) == RECORDS[2:]
    assert Journal(path, 21, opened.marks).marks == opened.marks


def test_the_note_of_a_fallback_stays(path):
    known = marks(path, 1)
    note = {"step": 7, "fallback": {"faults": ["why"]}}
    Journal(path, 7, known).write(note)
    again = Journal(path, 7, known)
    assert read_records(path) == [RECORDS[0], note]
    assert fallbacks(path) == [note]
    again.write(RECORDS[1])
    assert read_records(path) == [RECORDS[0], note, RECORDS[1]]
    assert Journal(path, 14, again.marks).marks == again.marks


@pytest.mark.parametrize("line", ["{", "3", "{}", '{"step": "x"}', "\x00"])
def test_a_line_that_is_no_record_is_named(line, path):
    with path.open("a") as file:
        file.write(line + "\n" + json.dumps(RECORDS[0]) + "\n")
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 4, is damaged"):
        read_records(path)
    with pytest.raises(ValueError, match="line 4, is damaged"):
        Journal(path, 21)
    Journal(path, 21, marks(path, 3))
    assert read_records(path) == RECORDS


def test_it_holds_no_nan(path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Journal(path, 21).write({"step": 28, "loss": float("nan")})
    assert read_records(path) == RECORDS
