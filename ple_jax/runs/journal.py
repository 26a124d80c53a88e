"""The journal of a run: one JSON object an epoch."""

import json
import pathlib
from typing import Any


class Journal:
    """Appends one JSON object a line; opened at a step, it drops what came after it."""

    def __init__(self, path: pathlib.Path, step: int):
        kept = (
            [r for r in read_records(path) if r["step"] <= step]
            if path.exists()
            else []
        )
        partial = path.with_suffix(".partial")
        partial.write_text("".join(map(_line, kept)), encoding="utf-8")
        partial.replace(path)
        self._path = path

    def write(self, record: dict[str, Any]) -> None:
        """Appends `record`, which has a `step`."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(record))


def read_records(path: pathlib.Path) -> list[dict[str, Any]]:
    """All whole lines of a journal; one cut off by a crash is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"
