"""Lines, bars, tables and JSON on the terminal."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ple_jax.show import notebook

stderr = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Prints one plain line of progress on stderr: stdout is for results."""
    stderr.print(text, markup=False, soft_wrap=True)


@contextmanager
def bar(title: str, total: int | None = None) -> Iterator[Any]:
    """Yields `advance(n)`, which moves a bar if a person watches it."""
    if notebook.is_open():
        with notebook.bar(title, total) as advance:
            yield advance
        return
    if not stderr.is_terminal:
        yield lambda n: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda n: progress.advance(task, n)


def show(*tables: Table) -> None:
    """Prints tables on stdout, as wide as the terminal, or else as they need."""
    width = None if sys.stdout.isatty() else 160
    console = Console(file=sys.stdout, width=width, highlight=False)
    for table in tables:
        console.print(table)


def show_json(value: Any) -> None:
    """Prints one JSON object and nothing else on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


class Stopwatch:
    """Counts seconds from when it is made."""

    def __init__(self):
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._start
