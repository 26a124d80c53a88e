"""The journal of a run: one JSON object an epoch, and one for each fallback.

{"step": 11, "epoch": 0, ...}          an epoch, as it ended
{"step": 11, "fallback": {...}}        resumed here, as newer checkpoints were damaged
"""

import json
import os
import pathlib
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ple_jax.disk import naming, replace_file
from ple_jax.show import console

Record = dict[str, Any]


class Journal:
    """Appends one JSON object a line; drops those after the step it is opened at.

    Attributes:
        marks: The checksum of each line. A checkpoint keeps them, so that a journal
            that was changed or cut is noticed when training resumes.
    """

    def __init__(
        self, path: pathlib.Path, step: int, marks: Sequence[str] | None = None
    ):
        """Opens a journal at a checkpoint.

        Args:
            path: Where it is, or will be.
            step: The step of the checkpoint; 0 if there is none.
            marks: What the checkpoint keeps of it; None if that is too old.

        Raises:
            ValueError: A line that the checkpoint knows was changed, or is missing.
        """
        self._path, lines = path, _whole_lines(path)
        if marks and not path.exists():
            console.say(f"warning: {path} is gone: a new journal begins here")
            marks = []
        kept = [] if marks is None else _marked(path, lines, marks)
        later = range(len(kept), len(lines))
        kept += [lines[i] for i in later if _stays(path, i, lines[i], step, marks)]
        # What a crash cut off must not stay: the next line would be joined to it.
        if not path.exists() or path.read_bytes() != b"".join(kept):
            with replace_file(path) as partial:
                partial.write_bytes(b"".join(kept))
        self.marks = [_mark(line) for line in kept]

    @classmethod
    def unopened(cls, path: pathlib.Path) -> "Journal":
        """A journal of which nothing is read, where another process writes it."""
        journal = cls.__new__(cls)
        journal._path, journal.marks = path, []
        return journal

    def write(self, record: Record) -> None:
        """Appends `record`, which has a `step`; it is on the disk at the end."""
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        with naming(self._path), self._path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.marks.append(_mark(line))


def _marked(
    path: pathlib.Path, lines: Sequence[bytes], marks: Sequence[str]
) -> list[bytes]:
    """The lines that a checkpoint knows, checked."""
    advice = "Restore it, or remove the file: training then begins a new one."
    if len(lines) < len(marks):
        raise ValueError(
            f"{path} is damaged: it has {len(lines)} whole lines, expected at least "
            f"{len(marks)}. {advice}"
        )
    for i, mark in enumerate(marks):
        if _mark(lines[i]) != mark:
            raise ValueError(
                f"{path}, line {i + 1}, is damaged: it is not as it was written. "
                f"{advice}"
            )
    return list(lines[: len(marks)])


def _stays(path, number, line, step, marks) -> bool:
    """Whether to keep a line that no checkpoint knows.

    Where there are checksums, that is only the note of a fallback.
    """
    try:
        record = _parsed(path, number, line)
    except ValueError:
        if marks is None:
            raise
        return False
    return record["step"] <= step and (marks is None or "fallback" in record)


def read_records(path: pathlib.Path) -> list[Record]:
    """All whole lines of a journal, if there is one; not one that a crash cut off.

    Raises:
        ValueError: A line is no JSON object with a step; names the file and the line.
    """
    return [_parsed(path, i, line) for i, line in enumerate(_whole_lines(path))]


def fallbacks(path: pathlib.Path) -> list[Record]:
    """The notes in a journal of resuming from an older checkpoint."""
    found = []
    for i, line in enumerate(_whole_lines(path)):
        with suppress(ValueError):  # whoever reads the epochs says so
            found += [r for r in [_parsed(path, i, line)] if "fallback" in r]
    return found


def check(path: pathlib.Path, marks: Sequence[str]) -> None:
    """Raises a ValueError if a journal lacks lines that a checkpoint knows."""
    _marked(path, _whole_lines(path), marks)


def _whole_lines(path: pathlib.Path) -> list[bytes]:
    content = path.read_bytes() if path.exists() else b""
    return [line + b"\n" for line in content.split(b"\n")[:-1]]


def _parsed(path: pathlib.Path, number: int, line: bytes) -> Record:
    try:
        record = json.loads(line)
        _ = record["step"] + 0
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}, line {number + 1}, is damaged: it is no record ({error!r})."
        ) from error
    return record


def _mark(line: bytes) -> str:
    return f"{zlib.crc32(line):08x}"
