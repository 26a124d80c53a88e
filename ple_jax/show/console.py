"""Lines, bars, tables and JSON on the terminal."""

import functools
import io
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ple_jax.show import notebook
from ple_jax.show.escape import json_printable, printable
from ple_jax.show.grid import Grid

LINE_SECONDS = 60.0  # between lines of progress where there is no bar
Advance = Callable[..., None]  # (steps, text)

stderr = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Prints one plain line of progress on stderr: stdout is for results."""
    stderr.print(Text(printable(text)), soft_wrap=True)


say_once = functools.cache(say)


@contextmanager
def bar(title: str, total: int | None = None) -> Iterator[Advance]:
    """Yields `advance(n, text)`: a bar if a person watches it, or else a line a minute.

    The text stands beside the bar.
    """
    if notebook.is_open():
        with notebook.bar(title, total) as advance:
            yield advance
        return
    if not stderr.is_terminal:
        yield Lines(title, total)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[text]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True) as progress:
        task = progress.add_task(printable(title), total=total, text="")
        yield lambda n, text="": progress.update(task, advance=n, text=text)


class Lines:
    """Tells of what takes long by a line now and then; of what is short, by none."""

    def __init__(self, title: str, total: int | None):
        """Of so many steps, if that is known."""
        self._title, self._total, self._done = title, total, 0
        self._watch, self._said = Stopwatch(), 0.0

    def __call__(self, n: int, text: str = "") -> None:
        """Goes on by n steps, and says so if a line is due."""
        self._done += n
        seconds = self._watch.seconds
        if seconds - self._said < LINE_SECONDS:
            return
        self._said = seconds
        parts = [self._title, f"{self._done:,}"]
        if self._total:
            left = seconds / self._done * (self._total - self._done)
            share = f"{self._done / self._total:.0%}"
            parts[1:] = [share, *filter(None, [text]), f"{_duration(left)} left"]
        say("  ".join(parts))


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    )


def show(*tables: Table | Grid) -> None:
    """Prints tables on stdout, as wide as the terminal, or else as they need."""
    width = None if sys.stdout.isatty() else 160
    _forgive(sys.stdout)
    console = Console(file=sys.stdout, width=width, highlight=False)
    for i, table in enumerate(tables):
        console.print(*([""] if i else []), table)


def _forgive(stream: Any) -> None:
    """Letters that the encoding of a stream lacks become `?`, and no error."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


def show_as(form: str, *tables: Grid) -> None:
    """Prints tables as `text`, `markdown` or `csv`, with an empty line between."""
    if form == "text":
        return show(*tables)
    _forgive(sys.stdout)
    sys.stdout.write("\n".join(getattr(table, form)() for table in tables))


def show_json(value: Any) -> None:
    """Prints one JSON object and nothing else on stdout; what is not finite is null."""
    plain = _finite(value)
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(json_printable(text) + "\n")


def _finite(value: Any) -> Any:
    """The value with None for numbers that JSON does not have: NaN and infinity."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Stopwatch:
    """Counts seconds from when it is made."""

    def __init__(self):
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._start
