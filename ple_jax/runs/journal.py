"""The journal of a run: one JSON object an epoch."""

import json
import pathlib
from typing import Any

from ple_jax.disk import replace_file


class Journal:
    """Appends one JSON object a line; drops those after the step it is opened at."""

    def __init__(self, path: pathlib.Path, step: int):
        kept = [record for record in read_records(path) if record["step"] <= step]
        with replace_file(path) as partial:
            partial.write_text("".join(map(_line, kept)), encoding="utf-8")
        self._path = path

    def write(self, record: dict[str, Any]) -> None:
        """Appends `record`, which has a `step`."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(record))


def read_records(path: pathlib.Path) -> list[dict[str, Any]]:
    """All whole lines of a journal, if there is one; not one that a crash cut off."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"
